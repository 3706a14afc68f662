"""Runs that wait for somebody outside never take all of a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.directory import get_listing
from apps.runs.models import Run
from apps.runs.services import invoke as module
from apps.runs.services.invoke import Ask, invoke
from apps.runs.services.seats import KEPT_FREE, Seats, TooManyWait, seats
from config.handler import THREADS
from tests.runs.factories import BY, grant, make_agent

pytestmark = pytest.mark.usefixtures("org")
WAITS = {"waits": True}


@pytest.fixture
def one_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "seats", Seats(1))


def ask(agent: str, **fields: Any) -> Any:
    return invoke(Ask(agent=agent, input={}, **fields), caller=BY, at=timezone.now()).run


def while_it_waits(scripts: Any, then: Callable[[], Any]) -> Any:
    """What `then` finds while a run of `slow` is at work."""
    found: list[Any] = []
    scripts["slow"] = lambda invocation, ctx: found.append(then()) or {}
    make_agent("slow", config=WAITS)
    assert ask("slow").status == "succeeded"
    return found[0]


def refused(agent: str) -> TooManyWait:
    with pytest.raises(TooManyWait) as error:
        ask(agent)
    return error.value


def test_one_that_finds_no_seat_is_refused_before_anything_is_written(
    scripts: Any, one_seat: None
) -> None:
    make_agent("other", config=WAITS)
    error = while_it_waits(scripts, lambda: (refused("other"), Run.objects.count()))

    assert (error[0].status, error[0].extra) == (503, {"retry_after": 5})
    assert error[1] == Run.objects.count() == 1
    # The control: the seat is free again.
    scripts["other"] = lambda invocation, ctx: {}
    assert ask("other").status == "succeeded"


def test_who_waits_for_nobody_or_in_the_background_needs_none(scripts: Any, one_seat: None) -> None:
    scripts["quick"] = lambda invocation, ctx: {}
    make_agent("quick")
    make_agent("other", config=WAITS)

    statuses = while_it_waits(
        scripts, lambda: (ask("quick").status, ask("other", mode="async").status)
    )
    assert statuses == ("succeeded", "queued")


def test_whom_a_run_calls_has_its_seat(scripts: Any, one_seat: None) -> None:
    caller, callee = make_agent("caller", config=WAITS), make_agent("callee", config=WAITS)
    grant(caller, callee)
    scripts["callee"] = lambda invocation, ctx: {"done": True}
    scripts["caller"] = lambda invocation, ctx: ctx.call_agent(
        agent="callee", tool="callee", input={}
    )
    assert ask("caller").output == {"done": True}


@pytest.mark.parametrize("fails", [True, False])
def test_a_seat_is_given_back_whatever_becomes_of_the_run(
    scripts: Any, one_seat: None, fails: bool
) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        if fails:
            raise LookupError
        return {}

    scripts["slow"] = script
    make_agent("slow", config=WAITS)
    assert {ask("slow").status for _ in range(3)} == {"failed" if fails else "succeeded"}
    assert ask("slow", key="k") == ask("slow", key="k")


def test_the_api_says_when_to_come_again(api: Any, org: Any, owner: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "seats", Seats(0))
    make_agent("far", runtime="http", config={"url": "https://far.example"})
    make_agent("echo", runtime="builtin", config={"skill": "echo"})

    answer = api.post("/agents/far/invoke", {"input": {}})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert json.loads(answer.content)["code"] == "too_many_wait"
    assert Run.objects.count() == 0
    assert api.post("/agents/echo/invoke", {"input": {"text": "hi"}}).status_code == 200


@pytest.mark.parametrize(
    ("runtime", "config", "waits"),
    [
        ("http", {"url": "https://far.example"}, True),
        ("builtin", {"skill": "concierge"}, True),
        ("builtin", {"skill": "echo"}, False),
        ("builtin", {"skill": "calculator"}, False),
    ],
)
def test_who_waits_says_so(runtime: str, config: dict[str, str], waits: bool) -> None:
    make_agent("agent", runtime=runtime, config=config)
    assert get_listing("agent").frozen.waits is waits


def test_the_process_keeps_threads_for_everything_else() -> None:
    taken = [seats.seat() for _ in range(THREADS - KEPT_FREE)]
    for seat in taken:
        seat.take()
    with pytest.raises(TooManyWait):
        seats.seat().take()
    for seat in taken:
        seat.__exit__()
    with seats.seat() as again:
        again.take()
    assert THREADS - KEPT_FREE >= 100
