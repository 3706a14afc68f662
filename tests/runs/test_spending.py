"""What attempts have spent is on the run: once, exactly, and however the run ends."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.runs import spine
from apps.runs.models import Run, Step
from apps.runs.spending import Spending
from apps.runs.spine import Ending, Hold
from apps.runs.states import RunStatus, StepStatus
from tests.runs.factories import admit, make_agent, some_id

DONE = Ending(RunStatus.SUCCEEDED, output={})
pytestmark = pytest.mark.usefixtures("org")


@pytest.fixture
def hold() -> Hold:
    return admit(make_agent("echo")).hold


def spent(requests: int = 1, tokens_in: int = 10, tokens_out: int = 1, cost: str = "0.3") -> Any:
    return Spending(requests, tokens_in, tokens_out, Decimal(cost), is_told=False).untold()


def begin(hold: Hold, ordinal: int = 1) -> Any:
    step = some_id()
    how: dict[str, Any] = {"kind": "tool_call", "name": "chat", "input": {}, "notes": None}
    at = timezone.now()
    assert spine.begin_step(hold, step_id=step, ordinal=ordinal, at=at, **how) == "ours"
    return step


def end(hold: Hold, step: Any, said: Any) -> str:
    return spine.end_step(
        hold, step_id=step, status=StepStatus.SUCCEEDED, output={}, spent=said, at=timezone.now()
    )


def close(hold: Hold, said: Any = None) -> str:
    return spine.close_run(hold, DONE, spent=said, at=timezone.now())


def stop(hold: Hold) -> None:
    how: dict[str, Any] = {"status": RunStatus.CANCELLED, "reason": "by_hand"}
    assert spine.stop_runs([hold.run_id], at=timezone.now(), **how)


def reap(hold: Hold) -> Any:
    Run.objects.filter(id=hold.run_id).update(lease_until=timezone.now() - timedelta(hours=1))
    return spine.reap_runs(limit=9, at=timezone.now())


def of(hold: Hold) -> tuple[str, int, Any]:
    run = Run.objects.get(id=hold.run_id)
    return run.status, run.cost_micros, run.usage


def usage(requests: int, tokens_in: int, tokens_out: int) -> dict[str, int]:
    return {"requests": requests, "input_tokens": tokens_in, "output_tokens": tokens_out}


def test_what_costs_nothing_leaves_no_usage(hold: Hold) -> None:
    assert end(hold, begin(hold), None) == close(hold) == "ours"
    assert of(hold) == ("succeeded", 0, None)
    assert Run.objects.get().spent is None


def test_the_sum_stands_on_the_run_while_it_works(hold: Hold) -> None:
    assert end(hold, begin(hold), spent()) == "ours"
    assert of(hold) == ("running", 1, usage(1, 10, 1))
    assert end(hold, begin(hold, 2), spent(2, 30, 5, "2.7")) == "ours"
    assert of(hold) == ("running", 3, usage(2, 30, 5))


def test_a_sum_that_is_told_again_counts_once(hold: Hold) -> None:
    step = begin(hold)
    assert end(hold, step, spent()) == end(hold, step, spent()) == "ours"
    assert close(hold, spent()) == "ours"
    assert of(hold) == ("succeeded", 1, usage(1, 10, 1))


def test_an_end_from_outside_leaves_what_was_spent(hold: Hold) -> None:
    end(hold, begin(hold), spent())
    stop(hold)
    assert of(hold) == ("cancelled", 1, usage(1, 10, 1))


def test_what_comes_after_the_end_counts_and_changes_nothing_else(hold: Hold) -> None:
    step = begin(hold)
    stop(hold)
    before = Run.objects.get(), Step.objects.get()

    assert end(hold, step, spent(3, 70, 9, "8.5")) == "lost"
    assert of(hold) == ("cancelled", 9, usage(3, 70, 9))
    assert close(hold, spent(4, 80, 10, "9.5")) == "lost"
    after = Run.objects.get()
    assert (after.cost_micros, after.usage) == (10, usage(4, 80, 10))
    for field in ("status", "reason", "output", "error", "finished_at", "lease_no"):
        assert getattr(after, field) == getattr(before[0], field), field
    assert Step.objects.get().output is None
    assert Step.objects.get().finished_at == before[1].finished_at


def test_all_attempts_count_and_are_rounded_together(hold: Hold) -> None:
    end(hold, begin(hold), spent())
    late = begin(hold, 2)
    assert reap(hold) == [(hold.run_id, "queued")]
    assert of(hold) == ("queued", 1, usage(1, 10, 1))
    again = spine.claim_run(at=timezone.now())
    assert again == Hold(hold.run_id, 2)

    assert end(again, begin(again), spent()) == "ours"
    assert of(hold) == ("running", 1, usage(2, 20, 2))  # 0.3 + 0.3
    assert end(hold, late, spent(2, 20, 2, "0.8")) == "lost"
    assert of(hold) == ("running", 2, usage(3, 30, 3))  # 0.8 + 0.3
    assert close(again) == "ours"
    assert of(hold) == ("succeeded", 2, usage(3, 30, 3))


def test_a_run_that_is_lost_for_good_keeps_the_sum_of_its_tries(hold: Hold) -> None:
    for number in (1, 2, 3):
        end(Hold(hold.run_id, number), begin(Hold(hold.run_id, number)), spent(cost="1"))
        verdict = "queued" if number < 3 else "failed"
        assert reap(hold) == [(hold.run_id, verdict)]
        if number < 3:
            assert spine.claim_run(at=timezone.now()) is not None

    assert of(hold) == ("failed", 3, usage(3, 30, 3))


def test_what_is_late_is_on_record_with_its_cost(hold: Hold) -> None:
    step = begin(hold)
    Run.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    assert end(hold, step, spent()) == "late"
    assert close(hold) == "late"
    assert of(hold) == ("running", 1, usage(1, 10, 1))


def test_one_runs_spending_is_no_others(hold: Hold) -> None:
    beside = admit(make_agent("beside")).hold
    end(hold, begin(hold), spent())
    assert of(beside) == ("running", 0, None)
