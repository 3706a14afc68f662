"""What is spent while others end, reap or carry out the same run, committed for real."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.runs import spine
from apps.runs.models import Run
from apps.runs.spending import Spending
from apps.runs.spine import Hold
from apps.runs.states import RunStatus, StepStatus
from apps.tenants import keys
from tests.runs.factories import admit, make_agent, some_id
from tests.runs.test_at_once import at_once, place

__all__ = ["place"]


@pytest.fixture
def hold(place: Any) -> Hold:
    return admit(make_agent("echo")).hold


def spend(hold: Hold, requests: int) -> str:
    """The end of a step that nobody waits for any more, with what its attempt has spent."""
    spent = Spending(requests, requests, requests, Decimal(requests) / 2, is_told=False)
    return spine.end_step(
        hold,
        step_id=some_id(),
        status=StepStatus.SUCCEEDED,
        spent=spent.untold(),
        at=timezone.now(),
    )


def test_attempts_that_spend_at_once_lose_nothing(place: Any, hold: Hold) -> None:
    def act(number: int) -> None:
        for requests in range(1, 26):
            spend(Hold(hold.run_id, number), requests)

    at_once(place, 4, act)

    run = Run.objects.get()
    assert run.usage == {"requests": 100, "input_tokens": 100, "output_tokens": 100}
    assert run.cost_micros == 50


def test_an_end_under_way_and_what_is_spent_meanwhile_both_count(place: Any, hold: Hold) -> None:
    found: list[str] = []

    def late() -> None:
        with keys.holding(place.schema, place.id):
            try:
                found.append(spend(hold, 3))
            finally:
                connection.close()

    with transaction.atomic():
        how: dict[str, Any] = {"status": RunStatus.CANCELLED, "reason": "by_hand"}
        spine.stop_runs([hold.run_id], at=timezone.now(), **how)
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(0.5)
        assert found == []  # it waits for the end
    thread.join(30)

    run = Run.objects.get()
    assert found == ["lost"]
    assert (run.status, run.cost_micros, run.usage["requests"]) == ("cancelled", 2, 3)
