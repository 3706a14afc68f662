"""What ends with a run, and when it is too late for a result: the SQL's part."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.agents.models import Agent
from apps.runs import spine
from apps.runs.models import Run, Step
from apps.runs.spine import Ending, Hold, Standing
from apps.runs.states import RunStatus, StepStatus
from tests.runs.factories import admit, child_of, grant, make_agent, some_id

DONE = Ending(RunStatus.SUCCEEDED, output={"text": "hello"})
LATE = Ending(RunStatus.TIMED_OUT, reason="deadline", error={"code": "timed_out"})
pytestmark = pytest.mark.usefixtures("org")


def close(hold: Hold, ending: Ending = DONE, **more: Any) -> Standing:
    return spine.close_run(hold, ending, at=timezone.now(), **more)


def begin(hold: Hold, ordinal: int = 1) -> tuple[Any, Standing]:
    step_id = some_id()
    standing = spine.begin_step(
        hold,
        step_id=step_id,
        ordinal=ordinal,
        kind="tool_call",
        name="POST",
        input={},
        notes=None,
        at=timezone.now(),
    )
    return step_id, standing


def end(hold: Hold, step_id: Any) -> Standing:
    return spine.end_step(
        hold, step_id=step_id, status=StepStatus.SUCCEEDED, output={}, at=timezone.now()
    )


def tree() -> tuple[list[Agent], list[Hold]]:
    """first → second → third, all running."""
    agents = [make_agent(name) for name in ("first", "second", "third")]
    for caller, callee in zip(agents, agents[1:], strict=False):
        grant(caller, callee)
    holds = [admit(agents[0]).hold]
    for callee in agents[1:]:
        holds.append(child_of(holds[-1], callee).hold)
    return agents, holds


def of(hold: Hold) -> Run:
    return Run.objects.get(id=hold.run_id)


def pass_deadline(hold: Hold, seconds: float) -> None:
    deadline = timezone.now() - timedelta(seconds=seconds)
    Run.objects.filter(id=hold.run_id).update(deadline_at=deadline)


def reap() -> list[Any]:
    return spine.reap_runs(limit=10, at=timezone.now())


def test_a_run_that_is_stopped_alone_fails_its_parents_step() -> None:
    _, holds = tree()
    begin(holds[1], 9)
    at = timezone.now()

    stopped = spine.stop_runs(
        [holds[1].run_id], status=RunStatus.CANCELLED, reason="by_hand", at=at
    )
    assert stopped == {holds[1].run_id, holds[2].run_id}
    calls = Step.objects.filter(run_id=holds[0].run_id)
    assert list(calls.values_list("status", "error", "finished_at")) == [
        ("failed", {"code": "stopped"}, at)
    ]
    below = Step.objects.filter(run_id=holds[1].run_id)
    assert set(below.values_list("status", flat=True)) == {"discarded"}
    assert close(holds[0]) == "ours"
    assert not Step.objects.filter(status="running").exists()


def test_a_run_that_ends_leaves_no_step_running() -> None:
    hold = admit(make_agent("echo")).hold
    beside = admit(make_agent("beside")).hold
    _, ended = begin(hold), begin(hold, 2)
    end(hold, ended[0])
    begin(beside)

    assert close(hold) == "ours"
    steps = Step.objects.filter(run_id=hold.run_id).order_by("ordinal")
    assert list(steps.values_list("status", flat=True)) == ["discarded", "succeeded"]
    assert Step.objects.get(run_id=beside.run_id).status == "running"


def test_a_run_that_ends_ends_what_is_open_below_it() -> None:
    _, holds = tree()
    assert [of(hold).status for hold in holds] == ["running"] * 3

    assert close(holds[0]) == "ours"
    found = [(run.status, run.reason) for run in map(of, holds)]
    assert found == [("succeeded", "")] + [("cancelled", "parent_ended")] * 2
    assert close(holds[1]) == close(holds[2]) == "lost"
    assert not Step.objects.filter(status="running").exists()


def test_a_leaf_that_ends_ends_nothing_else() -> None:
    _, holds = tree()
    assert close(holds[2]) == "ours"
    assert [of(hold).status for hold in holds] == ["running", "running", "succeeded"]
    assert list(Step.objects.order_by("id").values_list("status", flat=True)) == [
        "running",
        "succeeded",
    ]


def test_another_attempt_that_calls_nobody_leaves_no_child_behind() -> None:
    agents, holds = tree()
    Run.objects.filter(id=holds[0].run_id).update(lease_until=timezone.now() - timedelta(hours=1))
    assert reap() == [(holds[0].run_id, "queued")]
    assert [of(hold).status for hold in holds] == ["queued", "running", "running"]
    again = spine.claim_run(at=timezone.now())
    assert again is not None

    assert close(again) == "ours"
    assert [of(hold).status for hold in holds[1:]] == ["cancelled", "cancelled"]


def test_a_fence_counts_one_attempt_once() -> None:
    agents, holds = tree()
    Run.objects.filter(id=holds[0].run_id).update(lease_until=timezone.now() - timedelta(hours=1))
    reap()
    again = spine.claim_run(at=timezone.now())
    assert again is not None

    taken = child_of(again, agents[1])
    assert (taken.outcome, taken.hold) == ("admitted", Hold(holds[1].run_id, 2))
    assert [spine.check_run(hold) for hold in (holds[1], taken.hold)] == ["lost", "ours"]


def test_a_result_after_the_deadline_does_not_count() -> None:
    hold = admit(make_agent("echo")).hold
    pass_deadline(hold, 1)

    assert close(hold) == "late"
    assert close(hold, Ending(RunStatus.FAILED, error={"code": "any"})) == "late"
    assert (of(hold).status, of(hold).output) == ("running", None)
    assert close(Hold(hold.run_id, 2)) == "lost"
    assert close(hold, LATE) == "ours"
    assert (of(hold).status, of(hold).reason) == ("timed_out", "deadline")
    assert close(hold, LATE) == "lost"


def test_out_of_time_and_taken_away_are_told_apart() -> None:
    agents, holds = tree()
    first, standing = begin(holds[2])
    assert standing == "ours"
    pass_deadline(holds[2], 1)

    assert begin(holds[2], 2)[1] == spine.check_run(holds[2]) == "late"
    assert end(holds[2], first) == "late"
    assert Step.objects.get(id=first).status == "succeeded"  # it was done, and that is on record
    fourth = make_agent("fourth")
    grant(agents[2], fourth)
    before = Run.objects.count(), Step.objects.count()
    assert child_of(holds[2], fourth, ordinal=3).outcome == "late"
    stale = Hold(holds[2].run_id, 7)
    assert begin(stale, 4)[1] == spine.check_run(stale) == "lost"
    assert child_of(stale, fourth, ordinal=4).outcome == "fenced"
    assert (Run.objects.count(), Step.objects.count()) == before


def test_a_child_out_of_time_is_ended_and_its_parent_is_not() -> None:
    _, holds = tree()
    pass_deadline(holds[1], 3)
    assert reap() == []
    pass_deadline(holds[1], 6)

    assert reap() == [(holds[1].run_id, "timed_out")]
    found = [(run.status, run.reason) for run in map(of, holds)]
    assert found == [("running", "")] + [("timed_out", "deadline")] * 2
    assert Step.objects.get(run_id=holds[0].run_id).error == {"code": "stopped"}
    assert close(holds[0]) == "ours"


def test_a_child_whose_parent_is_over_is_ended() -> None:
    _, holds = tree()
    at = timezone.now()
    Run.objects.filter(id=holds[1].run_id).update(status="succeeded", finished_at=at)

    assert reap() == [(holds[2].run_id, "cancelled")]
    assert (of(holds[2]).status, of(holds[2]).reason) == ("cancelled", "parent_ended")
    assert of(holds[0]).status == "running"
    assert reap() == []


def test_what_waits_to_be_taken_over_has_its_own_time() -> None:
    _, holds = tree()
    pass_deadline(holds[1], 2)
    Run.objects.filter(id=holds[0].run_id).update(lease_until=timezone.now() - timedelta(hours=1))

    assert reap() == [(holds[0].run_id, "queued")]
    deadline = of(holds[1]).deadline_at
    assert deadline is not None and deadline > timezone.now() + timedelta(seconds=30)


def test_a_suspended_agents_runs_wait() -> None:
    agent, other = make_agent("echo"), make_agent("other")
    waiting = admit(agent, mode="async").run_id
    behind = admit(other, mode="async").run_id
    agent.suspend(note="")
    agent.save()

    claimed = spine.claim_run(at=timezone.now())
    assert claimed is not None and claimed.run_id == behind
    assert spine.claim_run(at=timezone.now()) is None
    assert Run.objects.get(id=waiting).status == "queued"
    agent.activate()
    agent.save()
    claimed = spine.claim_run(at=timezone.now())
    assert claimed is not None and claimed.run_id == waiting


def test_a_budget_that_is_not_there_refuses_on_record() -> None:
    agent = make_agent("echo")

    refused = admit(agent, scopes=[some_id()], key="k")
    assert (refused.outcome, refused.reason, refused.status) == ("no_budget", "no_budget", "denied")
    run = Run.objects.get()
    assert (run.id, run.status, run.reason) == (refused.run_id, "denied", "no_budget")
    assert (run.started_at, run.cost_micros) == (None, 0)
    assert admit(agent, scopes=[], key="k").outcome == "admitted"
    assert admit(agent, scopes=[some_id()], key="k").outcome == "in_flight"  # the key comes first


def test_a_child_over_no_budget_is_a_failed_step() -> None:
    caller, callee = make_agent("caller"), make_agent("callee")
    grant(caller, callee)
    parent = admit(caller).hold

    assert child_of(parent, callee, scopes=[some_id()]).outcome == "no_budget"
    step = Step.objects.get()
    assert (step.status, step.error) == ("failed", {"code": "no_budget"})


def test_what_has_no_price_is_refused_and_what_costs_nothing_is_not() -> None:
    agent = make_agent("echo")
    refused = admit(agent, price_micros=None)
    assert (refused.outcome, refused.reason) == ("denied", "no_price")
    assert [admit(agent, price_micros=price).outcome for price in (0, 10**12)] == ["admitted"] * 2


def test_a_statement_has_no_place_yet() -> None:
    hold = admit(make_agent("echo")).hold
    with pytest.raises(DatabaseError, match="cannot be kept"), transaction.atomic():
        close(hold, statement={"signed": True})
    assert of(hold).status == "running"
    assert close(hold, statement=None) == "ours"


def test_a_keys_run_is_found_without_asking_for_another() -> None:
    agent = make_agent("echo")
    hold = admit(agent, key="k").hold
    claim = spine.Claim("api_key:key_1", "k", Run.objects.get().fingerprint)
    other = spine.Claim("api_key:key_1", "k", b"other")

    assert spine.find_keyed(claim) == spine.Keyed(hold.run_id, "in_flight")
    assert spine.find_keyed(other) == spine.Keyed(hold.run_id, "other_body")
    close(hold)
    assert spine.find_keyed(claim) == spine.Keyed(hold.run_id, "replay")
    assert spine.find_keyed(spine.Claim("api_key:key_1", "new", b"")) is None
    admit(agent, key="refused", scopes=[some_id()])
    assert spine.find_keyed(spine.Claim("api_key:key_1", "refused", b"")) is None
