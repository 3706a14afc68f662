"""A run's life in Postgres: admission, the fence, the lineage, and the machine of its states."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.agents.models import Agent
from apps.runs import spine
from apps.runs.models import Run, RunLog, Step
from apps.runs.spine import Ending, Hold, Notes
from apps.runs.states import CLOSED, MOVES, OPEN, RunStatus, StepStatus
from tests.runs.factories import admit, child_of, grant, make_agent, parentage, some_id

DONE = Ending(RunStatus.SUCCEEDED, output={"text": "hello"})
pytestmark = pytest.mark.usefixtures("org")


def close(hold: Hold, ending: Ending = DONE) -> bool:
    return spine.close_run(hold, ending, at=timezone.now()) == "ours"


def is_ours(hold: Hold) -> bool:
    return spine.check_run(hold) == "ours"


def rows() -> tuple[int, int, int]:
    return Run.objects.count(), Step.objects.count(), RunLog.objects.count()


def test_a_run_is_admitted_and_settled() -> None:
    agent, at = make_agent("echo"), timezone.now()

    admission = admit(agent, at=at)
    assert (admission.outcome, admission.lease_no, admission.status) == ("admitted", 1, "running")
    assert close(admission.hold)

    run = Run.objects.get(id=admission.run_id)
    assert (run.status, run.output, run.created_at) == ("succeeded", {"text": "hello"}, at)
    assert (run.root_id, run.parent_id, run.lineage) == (run.id, None, [agent.id])
    assert run.lease_until is None and run.finished_at is not None


def test_an_async_run_waits_for_a_worker_and_is_claimed_once() -> None:
    admission = admit(make_agent("echo"), mode="async")
    assert (admission.status, admission.lease_no) == ("queued", 0)

    claimed = spine.claim_run(at=timezone.now())
    assert claimed == Hold(admission.run_id, 1)
    assert spine.claim_run(at=timezone.now()) is None
    assert close(claimed)


@pytest.mark.parametrize("status", ["draft", "suspended", "retired"])
def test_an_agent_that_is_not_active_is_refused_on_record(status: str) -> None:
    admission = admit(make_agent("echo", status=status), key="k")

    assert (admission.outcome, admission.reason) == ("denied", f"agent_{status}")
    run = Run.objects.get(id=admission.run_id)
    assert (run.status, run.reason, run.started_at) == ("denied", f"agent_{status}", None)
    assert rows() == (1, 0, 0)


def test_a_refused_key_may_be_tried_again() -> None:
    agent = make_agent("echo", status="suspended")
    assert admit(agent, key="k").outcome == "denied"
    agent.activate()
    agent.save()

    assert admit(agent, key="k").outcome == "admitted"
    assert admit(agent, key="k").outcome == "in_flight"


def test_what_is_not_there_or_has_changed_leaves_no_row() -> None:
    agent = make_agent("echo")

    assert admit(agent, agent_id=some_id()).outcome == "no_agent"
    assert admit(agent, manifest_id=some_id()).outcome == "stale_manifest"
    assert rows() == (0, 0, 0)


def test_a_key_stands_for_one_run() -> None:
    agent = make_agent("echo")
    first = admit(agent, key="k")

    assert admit(agent, key="k").outcome == "in_flight"
    assert admit(agent, key="k", body=b"other").outcome == "other_body"
    close(first.hold)
    again = admit(agent, key="k")
    assert (again.outcome, again.run_id) == ("replay", first.run_id)
    assert admit(agent, key="k", principal="somebody:else").outcome == "admitted"
    assert Run.objects.count() == 2


def test_a_key_is_answered_after_the_agent_was_stopped() -> None:
    agent = make_agent("echo")
    close(admit(agent, key="k").hold)
    agent.suspend(note="")
    agent.save()

    assert admit(agent, key="k").outcome == "replay"
    assert admit(agent, key="new").outcome == "denied"


def test_an_async_key_is_answered_while_its_run_waits() -> None:
    agent = make_agent("echo")
    first = admit(agent, key="k", mode="async")

    assert admit(agent, key="k", mode="async").outcome == "replay"
    spine.claim_run(at=timezone.now())
    again = admit(agent, key="k", mode="async")
    assert (again.outcome, again.run_id, again.status) == ("replay", first.run_id, "running")


def test_only_the_present_lease_can_settle() -> None:
    admission = admit(make_agent("echo"))
    old, new = admission.hold, Hold(admission.run_id, 2)

    assert not close(new)
    Run.objects.filter(id=admission.run_id).update(lease_no=2)
    assert not close(old)
    assert Run.objects.get().status == "running"
    assert close(new)
    assert not close(new, Ending(RunStatus.FAILED))
    assert Run.objects.get().output == {"text": "hello"}


def test_steps_need_the_lease_too_and_late_results_are_discarded() -> None:
    hold = admit(make_agent("echo")).hold
    first, second = some_id(), some_id()

    def begin(hold: Hold, step: Any, ordinal: int) -> str:
        return spine.begin_step(
            hold,
            step_id=step,
            ordinal=ordinal,
            kind="tool_call",
            name="POST",
            input={"a": 1},
            notes=None,
            at=timezone.now(),
        )

    def end(step: Any) -> str:
        return spine.end_step(
            hold, step_id=step, status=StepStatus.SUCCEEDED, output={"b": 2}, at=timezone.now()
        )

    assert (begin(hold, first, 1), end(first)) == ("ours", "ours")
    assert begin(hold, second, 2) == "ours"
    Run.objects.update(lease_no=2)
    assert begin(hold, some_id(), 3) == "lost"
    assert end(second) == "lost"
    assert list(Step.objects.order_by("ordinal").values_list("status", "output")) == [
        ("succeeded", {"b": 2}),
        ("discarded", None),
    ]


def test_no_step_begins_after_the_deadline() -> None:
    hold = admit(make_agent("echo")).hold
    assert is_ours(hold)
    Run.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    assert spine.check_run(hold) == "late"
    assert spine.check_run(Hold(hold.run_id, 2)) == "lost"


def test_notes_are_kept_with_the_settlement_or_not_at_all() -> None:
    hold = admit(make_agent("echo")).hold
    at = timezone.now().isoformat()
    line = {"id": some_id().hex, "at": at, "level": "info", "message": "hi", "fields": {"n": 1}}
    work = {"id": some_id().hex, "ordinal": 1, "kind": "work", "name": "plan"}
    work["status"] = "succeeded"
    notes = Notes([line], [{**work, "started_at": at, "finished_at": at}])

    assert spine.close_run(Hold(hold.run_id, 9), DONE, notes=notes, at=timezone.now()) == "lost"
    assert rows() == (1, 0, 0)
    assert spine.close_run(hold, DONE, notes=notes, at=timezone.now()) == "ours"
    assert rows() == (1, 1, 1)
    assert RunLog.objects.get().fields == {"n": 1}


def test_a_child_has_its_parents_lineage_and_is_a_step_of_it() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller).hold

    child = child_of(parent, callee)
    assert (child.outcome, child.root_id) == ("admitted", parent.run_id)
    run = Run.objects.get(id=child.run_id)
    assert (run.parent_id, run.lineage) == (parent.run_id, [caller.id, callee.id])
    step = Step.objects.get()
    assert (step.run_id, step.child_id, step.status) == (parent.run_id, run.id, "running")
    close(child.hold)
    assert Step.objects.get().status == "succeeded"


def test_a_childs_time_is_its_parents() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller, timeout_seconds=5)

    child = child_of(parent.hold, callee, timeout_seconds=60)
    assert child.deadline_at == Run.objects.get(id=parent.run_id).deadline_at


def test_no_grant_no_call() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    parent = admit(caller).hold

    denied = child_of(parent, callee)
    assert (denied.outcome, denied.reason) == ("denied", "no_grant")
    assert Step.objects.get().status == "failed"
    given = grant(caller, callee, ["other"])
    assert child_of(parent, callee, ordinal=2).outcome == "denied"
    given.tools = ["callee"]
    given.save()
    assert child_of(parent, callee, ordinal=3).outcome == "admitted"
    given.expires_at = timezone.now() - timedelta(seconds=1)
    given.save()
    assert child_of(parent, callee, ordinal=4).outcome == "denied"


def test_a_cycle_leaves_no_row() -> None:
    first, second = make_agent("first"), make_agent("second")
    grant(first, second)
    grant(second, first)
    root = admit(first).hold
    below = child_of(root, second).hold
    before = rows()

    assert child_of(below, first).outcome == "cycle"
    assert child_of(root, first, ordinal=2).outcome == "cycle"
    assert rows() == before
    third = make_agent("third")
    grant(second, third)
    assert child_of(below, third).outcome == "admitted"


def test_a_call_passes_through_eight_agents_at_most() -> None:
    agents = [make_agent(f"agent-{n}") for n in range(9)]
    for caller, callee in zip(agents, agents[1:], strict=False):
        grant(caller, callee)
    hold = admit(agents[0]).hold
    for callee in agents[1:8]:
        hold = child_of(hold, callee).hold
    before = rows()

    assert child_of(hold, agents[8]).outcome == "too_deep"
    assert rows() == before


def test_a_parent_that_is_not_ours_calls_nobody() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller).hold

    assert child_of(Hold(parent.run_id, 2), callee).outcome == "fenced"
    close(parent)
    assert child_of(parent, callee).outcome == "fenced"
    assert rows() == (1, 0, 0)


def test_another_attempt_takes_an_unfinished_child_over() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller).hold
    orphan = child_of(parent, callee)
    silent(parent)
    assert reap() == [(parent.run_id, "queued")]
    again = spine.claim_run(at=timezone.now())
    assert again == Hold(parent.run_id, 2)

    taken = child_of(again, callee)
    assert (taken.outcome, taken.run_id, taken.lease_no) == ("admitted", orphan.run_id, 2)
    assert not close(orphan.hold)
    assert close(taken.hold)
    assert Run.objects.count() == 2


def test_another_attempt_gets_a_finished_childs_answer() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller).hold
    close(child_of(parent, callee).hold)
    Run.objects.filter(id=parent.run_id).update(lease_no=2)

    again = child_of(Hold(parent.run_id, 2), callee)
    assert again.outcome == "replay"
    assert Run.objects.count() == 2
    assert list(Step.objects.values_list("attempt", "status")) == [(1, "succeeded")] * 1 + [
        (2, "succeeded")
    ]


def tree() -> tuple[Agent, list[Hold]]:
    """first → second → third, all running."""
    agents = [make_agent(name) for name in ("first", "second", "third")]
    for caller, callee in zip(agents, agents[1:], strict=False):
        grant(caller, callee)
    holds = [admit(agents[0]).hold]
    for callee in agents[1:]:
        holds.append(child_of(holds[-1], callee).hold)
    return agents[1], holds


def stop(*holds: Hold) -> set[Any]:
    ids = [hold.run_id for hold in holds]
    return spine.stop_runs(ids, status=RunStatus.CANCELLED, reason="by_hand", at=timezone.now())


def test_stopping_a_run_stops_what_is_below_it() -> None:
    _, holds = tree()
    beside = admit(make_agent("beside")).hold

    assert stop(holds[1]) == {holds[1].run_id, holds[2].run_id}
    assert [is_ours(hold) for hold in (*holds, beside)] == [True, False, False, True]
    call = Step.objects.get(run_id=holds[0].run_id)
    assert (call.status, call.error) == ("failed", {"code": "stopped"})
    assert Step.objects.get(run_id=holds[1].run_id).status == "discarded"
    assert stop(holds[1]) == set()
    assert not close(holds[2])
    assert close(holds[0])


def test_stopping_what_waits_and_what_is_over() -> None:
    agent = make_agent("echo")
    waiting, over = admit(agent, mode="async"), admit(agent)
    close(over.hold)

    assert stop(waiting.hold, over.hold) == {waiting.run_id}
    assert spine.claim_run(at=timezone.now()) is None
    assert Run.objects.get(id=over.run_id).status == "succeeded"


def reap() -> list[Any]:
    return spine.reap_runs(limit=10, at=timezone.now())


def silent(hold: Hold) -> None:
    Run.objects.filter(id=hold.run_id).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_silent_execution_loses_its_run_and_its_children() -> None:
    _, holds = tree()
    assert reap() == []
    silent(holds[0])

    assert reap() == [(holds[0].run_id, "queued")]
    assert [spine.check_run(hold) for hold in holds] == ["lost"] * 3
    assert set(Step.objects.values_list("status", flat=True)) == {"discarded"}
    claimed = spine.claim_run(at=timezone.now())
    assert claimed == Hold(holds[0].run_id, 2)
    assert Run.objects.get(id=holds[1].run_id).status == "running"
    assert not close(holds[0])
    assert close(claimed)


def test_the_third_silence_is_the_last() -> None:
    hold = admit(make_agent("echo")).hold
    for attempt in (2, 3):
        silent(hold)
        assert [verdict for _, verdict in reap()] == ["queued"]
        claimed = spine.claim_run(at=timezone.now())
        assert claimed == Hold(hold.run_id, attempt)
        hold = claimed
    silent(hold)
    assert reap() == [(hold.run_id, "failed")]
    run = Run.objects.get()
    assert (run.status, run.reason) == ("failed", "lost")


def test_an_execution_out_of_time_is_ended_though_it_lives() -> None:
    _, holds = tree()
    Run.objects.update(deadline_at=timezone.now() - timedelta(seconds=2))
    assert reap() == []
    Run.objects.update(deadline_at=timezone.now() - timedelta(seconds=6))
    assert reap() == [(holds[0].run_id, "timed_out")]
    assert set(Run.objects.values_list("status", flat=True)) == {"timed_out"}


def test_who_says_that_it_lives_keeps_its_lease() -> None:
    agent = make_agent("echo")
    mine, lost, over = (admit(agent).hold for _ in range(3))
    silent(mine)
    close(over)

    assert spine.renew_leases([mine, Hold(lost.run_id, 7), over]) == {mine.run_id}
    assert reap() == []


@pytest.mark.parametrize("start", RunStatus)
@pytest.mark.parametrize("end", RunStatus)
def test_the_database_allows_the_moves_of_the_table_and_no_other(
    start: RunStatus, end: RunStatus
) -> None:
    run_id = begun_as(start)

    if (start, end) in MOVES or start == end:
        move(run_id, end)
    else:
        with pytest.raises(DatabaseError, match="cannot move"), transaction.atomic():
            move(run_id, end)
    allowed = (start, end) in MOVES
    assert Run.objects.get(id=run_id).status == (end if allowed else start)


def begun_as(status: RunStatus) -> Any:
    """A run that is in this state, whatever the way there."""
    run = Run.objects.get(id=admit(make_agent("echo")).run_id)
    run.id = some_id()
    run.status, run.finished_at = status, timezone.now() if status in CLOSED else None
    run.save(force_insert=True)
    return run.id


def move(run_id: Any, status: RunStatus) -> None:
    run = Run.objects.get(id=run_id)
    finished = (run.finished_at or timezone.now()) if status in CLOSED else None
    Run.objects.filter(id=run_id).update(status=status, finished_at=finished)


def test_every_state_is_open_or_closed() -> None:
    assert set(OPEN) | set(CLOSED) == set(RunStatus) and not set(OPEN) & set(CLOSED)
    assert all(start in OPEN for start, _ in MOVES)


def test_a_parents_notes_go_with_its_call() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller).hold
    at = timezone.now().isoformat()
    notes = Notes([{"id": some_id().hex, "at": at, "level": "info", "message": "m", "fields": {}}])

    admit(callee, parent=parentage(parent, 1, notes), principal="run:x", key="1")
    assert RunLog.objects.get().run_id == parent.run_id
