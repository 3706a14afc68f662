"""What becomes an event: in which runs, in which order, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.runs import spine
from apps.runs.models import RunEvent
from apps.runs.services import context
from apps.runs.services.control import cancel_run
from apps.runs.services.invoke import work_one
from apps.runs.states import RunStatus
from tests.runs.factories import CALLER, admit, child_of, grant, make_agent


def events_of(run_id: Any) -> list[tuple[Any, ...]]:
    """A run's events in their order, each as kind and what matters of its data."""
    rows = list(RunEvent.objects.filter(run_id=run_id).order_by("seq"))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return [(row.kind, *_gist(row.kind, row.data)) for row in rows]


def _gist(kind: str, data: dict[str, Any]) -> tuple[Any, ...]:
    names = {
        "status": ("status", "attempt", "reason"),
        "step": ("name", "status"),
        "log": ("level", "message"),
        "delta": ("attempt", "text"),
    }[kind]
    return tuple(data[name] for name in names)


def test_all_of_an_async_run_is_told_in_its_order(
    org: Any, scripts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "DELTA_EVERY", 0.0)

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.log("info", "begun", tries=1)
        ctx.delta("Hel")
        ctx.delta("lo\0")
        with ctx.step("plan"):
            pass
        ctx.call_tool(name="POST", input={}, call=lambda key: {})
        ctx.call_agent(agent="back", tool="back", input={})
        return {}

    scripts["front"], scripts["back"] = script, lambda invocation, ctx: {}
    front, back = make_agent("front"), make_agent("back")
    grant(front, back)
    run_id = admit(front, mode="async").run_id
    assert work_one(at=timezone.now())

    assert events_of(run_id) == [
        ("status", "queued", 0, None),
        ("status", "running", 1, None),
        ("log", "info", "begun"),
        ("delta", 1, "Hel"),
        ("delta", 1, "lo\ufffd"),
        ("step", "plan", "succeeded"),
        ("step", "POST", "running"),
        ("step", "POST", "succeeded"),
        ("step", "back.back", "running"),
        ("step", "back.back", "succeeded"),
        ("status", "succeeded", 1, None),
    ]
    call = RunEvent.objects.get(run_id=run_id, data__name="back.back", data__status="running")
    child = RunEvent.objects.exclude(run_id=run_id)
    assert call.data["child"].startswith("run_") and not child.exists()


def test_parts_of_an_answer_that_come_fast_are_one_event(
    org: Any, scripts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "DELTA_EVERY", 3600.0)

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        for letter in "abcd":
            ctx.delta(letter)
        ctx.log("info", "half")
        ctx.delta("ef")
        return {}

    scripts["front"] = script
    run_id = admit(make_agent("front"), mode="async").run_id
    work_one(at=timezone.now())
    assert events_of(run_id)[2:] == [
        ("delta", 1, "a"),
        ("delta", 1, "bcd"),
        ("log", "info", "half"),
        ("delta", 1, "ef"),
        ("status", "succeeded", 1, None),
    ]


def test_a_sync_run_that_nobody_follows_writes_no_event(org: Any, scripts: Any) -> None:
    admission = admit(make_agent("front"))
    notes = spine.Notes()
    notes.logs.append(
        {
            "id": "0" * 32,
            "at": timezone.now().isoformat(),
            "level": "info",
            "message": "a line",
            "fields": {},
        }
    )
    assert spine.check_run(admission.hold, notes=notes) == "ours"
    ending = spine.Ending(RunStatus.SUCCEEDED, output={})
    assert spine.close_run(admission.hold, ending, at=timezone.now()) == "ours"
    assert events_of(admission.run_id) == []


def test_from_when_somebody_follows_an_open_run_it_is_told(org: Any, scripts: Any) -> None:
    front, back = make_agent("front"), make_agent("back")
    grant(front, back)
    admission = admit(front)
    spine.watch_run(admission.run_id)
    spine.watch_run(admission.run_id)
    child_of(admission.hold, back)
    cancel_run(run_id=admission.run_id, actor=CALLER, at=timezone.now())
    spine.watch_run(admission.run_id)

    assert events_of(admission.run_id) == [
        ("status", "running", 1, None),
        ("step", "step 1", "running"),
        ("step", "step 1", "discarded"),
        ("status", "cancelled", 1, "by_hand"),
    ]


def test_a_run_that_is_over_or_refused_has_nothing_to_follow(org: Any, scripts: Any) -> None:
    front = make_agent("front", status="suspended")
    refused = admit(front, mode="async")
    spine.watch_run(refused.run_id)
    assert (refused.outcome, events_of(refused.run_id)) == ("denied", [])


def test_a_run_that_is_lost_is_told_to_begin_again(org: Any, scripts: Any) -> None:
    scripts["front"] = lambda invocation, ctx: {}
    run_id = admit(make_agent("front"), mode="async").run_id
    assert spine.claim_run(at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("update runs set lease_until = now() - interval '1 hour'")
    assert spine.reap_runs(limit=5, at=timezone.now()) == [(run_id, RunStatus.QUEUED)]
    work_one(at=timezone.now())
    assert [(status, attempt) for _, status, attempt, _ in events_of(run_id)] == [
        ("queued", 0),
        ("running", 1),
        ("queued", 1),
        ("running", 2),
        ("succeeded", 2),
    ]
