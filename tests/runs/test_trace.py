"""The waterfall of a run: rows in order, bars in proportion. No database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from apps.runs import trace
from apps.runs.models import Run, Step

BEGIN = datetime(2027, 1, 31, 12, tzinfo=UTC)
ROOT, CHILD, GRANDCHILD = uuid4(), uuid4(), uuid4()


def at(ms: float) -> datetime:
    return BEGIN + timedelta(milliseconds=ms)


def run(run_id: UUID, slug: str, start: float, end: float | None, **fields: Any) -> Run:
    made = Run(
        id=run_id,
        tool=fields.pop("tool", slug),
        root_id=ROOT,
        status=fields.pop("status", "succeeded" if end is not None else "running"),
        created_at=at(start),
        started_at=at(start),
        finished_at=None if end is None else at(end),
        **fields,
    )
    made.agent_slug = slug  # type: ignore[attr-defined]
    return made


def step(run_id: UUID, name: str, start: float, end: float | None, **fields: Any) -> Step:
    status = fields.pop("status", "succeeded" if end is not None else "running")
    finished = None if end is None else at(end)
    kind = fields.pop("kind", "work")
    return Step(
        run_id=run_id,
        attempt=fields.pop("attempt", 1),
        ordinal=fields.pop("ordinal", 1),
        name=name,
        kind=kind,
        status=status,
        started_at=at(start),
        finished_at=finished,
        **fields,
    )


def draw(runs: list[Run], steps: list[Step], *, current: UUID = ROOT, now: float = 0) -> Any:
    return trace.draw(runs, steps, current=current, now=at(now))


def test_a_tree_is_drawn_in_the_order_of_what_happened() -> None:
    runs = [
        run(ROOT, "concierge", 0, 1000),
        run(CHILD, "calculator", 250, 500, parent_id=ROOT),
        run(GRANDCHILD, "echo", 300, 400, parent_id=CHILD),
    ]
    steps = [
        step(ROOT, "calculator.calculator", 240, 500, kind="agent_call", child_id=CHILD),
        step(ROOT, "write", 600, 800, ordinal=3, attempt=2),
        step(ROOT, "POST https://x.example", 100, 200, kind="tool_call", ordinal=2),
    ]

    spans = draw(runs, steps, current=CHILD).spans

    shown = [(s.name, s.note, s.depth, s.x, s.width, s.css) for s in spans]
    assert shown == [
        ("concierge", "run", 0, "0.00%", "100.00%", "c1"),
        ("POST https://x.example", "outside call", 1, "10.00%", "10.00%", "c1"),
        ("calculator", "run", 1, "25.00%", "25.00%", "c2"),
        ("echo", "run", 2, "30.00%", "10.00%", "c3"),
        ("write", "work", 1, "60.00%", "20.00%", "c5"),
    ]
    assert [s.run_id for s in spans] == [ROOT, ROOT, CHILD, GRANDCHILD, ROOT]
    assert [s.anchor for s in spans] == ["", "step-2", "", "", "step-2-3"]
    assert [s.name for s in spans if s.is_current] == ["calculator"]
    assert [s.duration_ms for s in spans] == [1000, 100, 250, 100, 200]


def test_a_child_by_a_clock_that_is_behind_hides_nothing() -> None:
    runs = [run(CHILD, "calculator", -50, 500, parent_id=ROOT), run(ROOT, "concierge", 0, 1000)]
    assert [(s.name, s.depth) for s in draw(runs, []).spans] == [
        ("concierge", 0),
        ("calculator", 1),
    ]


def test_a_call_that_began_no_run_is_a_row_of_its_own() -> None:
    refused = step(ROOT, "echo.echo", 10, 20, kind="agent_call", status="failed")
    spans = draw([run(ROOT, "concierge", 0, 100)], [refused]).spans
    assert [(s.name, s.note, s.css) for s in spans[1:]] == [("echo.echo", "agent call", "bad")]


def test_what_is_at_work_reaches_to_now() -> None:
    runs = [run(ROOT, "slow", 0, None)]
    spans = draw(runs, [step(ROOT, "wait", 50, None, kind="tool_call")], now=200).spans
    assert [(s.x, s.width, s.duration_ms) for s in spans] == [
        ("0.00%", "100.00%", None),
        ("25.00%", "75.00%", None),
    ]


def test_the_shortest_bar_can_be_seen_and_none_leaves_the_axis() -> None:
    runs = [run(ROOT, "a", 0, 10_000), run(CHILD, "b", 10_000, 10_000, parent_id=ROOT)]
    late = draw(runs, []).spans[1]
    assert (late.x, late.width) == ("99.40%", "0.60%")
    nothing = draw([run(ROOT, "a", 0, 0, status="denied")], []).spans[0]
    assert (nothing.x, nothing.width, nothing.css) == ("0.00%", "0.60%", "bad")


def test_the_axis_has_five_marks() -> None:
    ticks = draw([run(ROOT, "a", 0, 2000)], []).ticks
    assert [(t.x, t.anchor, t.label) for t in ticks] == [
        ("0%", "start", "0"),
        ("25%", "middle", "500 ms"),
        ("50%", "middle", "1.00 s"),
        ("75%", "middle", "1.50 s"),
        ("100%", "end", "2.00 s"),
    ]


def test_depth_and_colours_begin_again_when_they_run_out() -> None:
    ids = [ROOT, *(uuid4() for _ in range(7))]
    runs = [
        run(ids[n], f"agent-{n}", n, 100, parent_id=ids[n - 1] if n else None) for n in range(8)
    ]
    drawn = draw(runs, [])
    assert [s.depth for s in drawn.spans] == [0, 1, 2, 3, 4, 5, 5, 5]
    assert [css for _, css in drawn.agents] == [
        *("c1", "c2", "c3", "c4", "c6", "c7"),
        *("c1", "c2"),
    ]
