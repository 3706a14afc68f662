"""A tree of runs and steps as bars over one time axis. Pure: no query, no clock.

Sizes are percentages of the axis, written as they stand in an SVG's attributes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apps.common import formats
from apps.runs.models import Run, Step

COLOURS: Final = ("c1", "c2", "c3", "c4", "c6", "c7")
"""Agents beyond these share them; the fifth series is the colour of work between calls."""
WORK: Final = "c5"
LEAST: Final = 0.6
"""The percentage that even the shortest bar takes, so that it can be seen."""
DEEPEST: Final = 5
"""Indents beyond this one look alike."""
KINDS: Final = {
    Step.Kind.WORK: "work",
    Step.Kind.TOOL_CALL: "outside call",
    Step.Kind.AGENT_CALL: "agent call",
}


@dataclass(frozen=True, slots=True)
class Span:
    """One row: what it is, and its bar. `anchor` is where a step stands on its run's page."""

    name: str
    note: str
    status: str
    depth: int
    css: str
    x: str
    width: str
    duration_ms: float | None
    run_id: UUID
    anchor: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the axis."""

    x: str
    anchor: str
    label: str


@dataclass(frozen=True, slots=True)
class Trace:
    spans: tuple[Span, ...]
    ticks: tuple[Tick, ...]
    agents: tuple[tuple[str, str], ...]
    """(agent, colour) in the order of their first run."""


@dataclass(frozen=True, slots=True)
class _Axis:
    begin: datetime
    length: timedelta

    def place(self, start: datetime, end: datetime) -> tuple[str, str]:
        """Where a bar begins and how wide it is."""
        x = min(max((start - self.begin) / self.length * 100, 0.0), 100 - LEAST)
        width = (end - start) / self.length * 100
        return f"{x:.2f}%", f"{min(max(width, LEAST), 100 - x):.2f}%"


@dataclass(frozen=True, slots=True)
class _Tree:
    axis: _Axis
    now: datetime
    current: UUID
    colours: Mapping[str, str]
    runs: Mapping[UUID | None, Sequence[Run]]
    steps: Mapping[UUID, Sequence[Step]]
    known: frozenset[UUID]


def draw(runs: Sequence[Run], steps: Sequence[Step], *, current: UUID, now: datetime) -> Trace:
    """Lay out a whole tree; each run has its `agent_slug`.

    A child may seem to be older than its root: another machine's clock has told its time.
    """
    root = next(run for run in runs if run.parent_id is None)
    begin = min(run.started_at or run.created_at for run in runs)
    end = max([begin, *(run.finished_at or now for run in runs)])
    slugs = dict.fromkeys(_slug(run) for run in runs)
    colours = {slug: COLOURS[n % len(COLOURS)] for n, slug in enumerate(slugs)}
    axis = _Axis(begin, max(end - begin, timedelta(milliseconds=1)))
    below: dict[UUID | None, list[Run]] = defaultdict(list)
    within: dict[UUID, list[Step]] = defaultdict(list)
    for run in runs:
        below[run.parent_id].append(run)
    for step in steps:
        within[step.run_id].append(step)
    known = frozenset(run.id for run in runs)
    tree = _Tree(axis, now, current, colours, below, within, known)
    return Trace(tuple(_rows(tree, root, 0)), tuple(_ticks(axis)), tuple(colours.items()))


def _rows(tree: _Tree, run: Run, depth: int) -> Iterator[Span]:
    """The run's row, then in order of time what happened in it."""
    yield _run_span(tree, run, depth)
    inside: list[tuple[datetime, Run | Step]] = [
        (child.created_at, child) for child in tree.runs.get(run.id, ())
    ]
    inside += [
        (step.started_at, step)
        for step in tree.steps.get(run.id, ())
        if step.child_id not in tree.known
    ]
    for _, item in sorted(inside, key=lambda pair: pair[0]):
        if isinstance(item, Step):
            yield _step_span(tree, item, tree.colours[_slug(run)], depth + 1)
        else:
            yield from _rows(tree, item, depth + 1)


def _run_span(tree: _Tree, run: Run, depth: int) -> Span:
    start = run.started_at or run.created_at
    end = run.finished_at or tree.now
    x, width = tree.axis.place(start, max(start, end))
    return Span(
        name=_slug(run),
        note=run.tool if run.tool != _slug(run) else "run",
        status=run.status,
        depth=min(depth, DEEPEST),
        css=_css(run.status, tree.colours[_slug(run)]),
        x=x,
        width=width,
        duration_ms=_ms(run.started_at, run.finished_at),
        run_id=run.id,
        anchor="",
        is_current=run.id == tree.current,
    )


def _step_span(tree: _Tree, step: Step, colour: str, depth: int) -> Span:
    end = step.finished_at or tree.now
    x, width = tree.axis.place(step.started_at, max(step.started_at, end))
    return Span(
        name=step.name,
        note=KINDS[Step.Kind(step.kind)],
        status=step.status,
        depth=min(depth, DEEPEST),
        css=_css(step.status, WORK if step.kind == Step.Kind.WORK else colour),
        x=x,
        width=width,
        duration_ms=_ms(step.started_at, step.finished_at),
        run_id=step.run_id,
        anchor=anchor_of(step),
        is_current=False,
    )


def anchor_of(step: Step) -> str:
    """What names a step on its run's page: `step-3`, of a later attempt `step-2-3`."""
    attempt = f"{step.attempt}-" if step.attempt > 1 else ""
    return f"step-{attempt}{step.ordinal}"


def _css(status: str, colour: str) -> str:
    return "bad" if status in ("failed", "timed_out", "denied") else colour


def _ticks(axis: _Axis) -> Iterator[Tick]:
    milliseconds = axis.length.total_seconds() * 1000
    for quarter in range(5):
        anchor = {0: "start", 4: "end"}.get(quarter, "middle")
        label = _tick_word(milliseconds * quarter / 4) if quarter else "0"
        yield Tick(f"{quarter * 25}%", anchor, label)


def _tick_word(milliseconds: float) -> str:
    """A duration; of few milliseconds with the digits that tell a mark from its neighbour."""
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else formats.duration(milliseconds)


def _ms(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max((end - start).total_seconds() * 1000, 0.0)


def _slug(run: Run) -> str:
    slug: str = run.agent_slug  # type: ignore[attr-defined]
    return slug
