"""Every request that a model answered is paid for by its run, whatever way the run ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.runtimes.llm import wire
from apps.agents.services.agents import kill_agent
from apps.runs import spine
from apps.runs.models import Run
from apps.runs.services import control
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.runs.states import RunStatus
from tests.agents.factories import let_call, make_agent
from tests.agents.llm.conftest import says, wants
from tests.runs import factories
from tests.runs.conftest import scripts as scripts

TOKENS = [(1234, 567), (2, 0), (101, 33), (7, 1)]
Act = Callable[[], None]


class Model:
    """Asks for a tool again and again; `acts` is what happens while it thinks of an answer."""

    def __init__(self) -> None:
        self.paid: list[tuple[int, int]] = []
        self.acts: dict[int, Act] = {}
        self.answers = 2

    def send(self, endpoint: Any, order: Any, *, key: str, ctx: Any) -> Any:
        number = len(self.paid)
        self.paid.append(TOKENS[number])
        self.acts.get(number, lambda: None)()
        if number + 1 >= self.answers:
            return says("Done.", tokens=TOKENS[number])
        return says("", wants("echo__echo", text=str(number)), tokens=TOKENS[number])

    @property
    def usage(self) -> dict[str, int]:
        tokens_in, tokens_out = (sum(side) for side in zip(*self.paid, strict=True))
        return {
            "requests": len(self.paid),
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
        }

    @property
    def cost_micros(self) -> int:
        """Every request that was made, at 0.15 and 0.60 micro-dollars a token."""
        return math.ceil(
            sum(i * Decimal("0.15") + o * Decimal("0.6") for i, o in self.paid) or Decimal(0)
        )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, owner: Any, make_llm: Any) -> Iterator[Model]:
    """An `llm` agent with one tool, and the model that it asks. All that was paid is on its run."""
    let_call(owner, make_llm(limits={"requests": 4}), make_agent(owner))
    played = Model()
    monkeypatch.setattr(wire, "send", played.send)
    yield played
    run = Run.objects.get(agent__slug="assistant")
    assert (run.cost_micros, run.usage) == (played.cost_micros, played.usage)
    assert run.cost_micros > 0


def ask(owner: Any, mode: str = "sync") -> Any:
    wanted = Ask(agent="assistant", input={"text": "hello"}, mode=mode)
    return invoke(wanted, caller=owner, at=timezone.now()).run


def ended() -> tuple[str, str]:
    run = Run.objects.get(agent__slug="assistant")
    return run.status, run.reason


def test_a_run_that_succeeds(model: Model, owner: Any) -> None:
    run = ask(owner)
    assert ended() == ("succeeded", "")
    assert (run.cost_micros, run.usage) == (model.cost_micros, model.usage)


def test_a_run_that_fails(model: Model, owner: Any) -> None:
    model.answers = 9
    run = ask(owner)
    assert run.error["code"] == "limit_reached"
    assert (len(model.paid), run.cost_micros) == (4, model.cost_micros)


def test_a_run_whose_runtime_breaks(model: Model, owner: Any) -> None:
    def trip() -> None:
        del model.paid[1:]  # it breaks before the request is out
        raise KeyError

    model.acts[1] = trip
    assert ask(owner).error["code"] == "internal_error"


def test_a_cancel_in_the_middle_of_a_request(model: Model, owner: Any) -> None:
    def cancel() -> None:
        run = Run.objects.get(agent__slug="assistant")
        assert run.cost_micros > 0  # the first request is on record already
        control.cancel_run(run_id=run.id, actor=owner.actor, at=timezone.now())

    model.acts[1] = cancel
    model.answers = 9
    assert ask(owner).status == "cancelled"
    assert (ended(), len(model.paid)) == (("cancelled", "by_hand"), 2)


def test_a_kill_switch_in_the_middle_of_a_request(model: Model, owner: Any) -> None:
    def kill() -> None:
        agent_id = Run.objects.get(agent__slug="assistant").agent_id
        kill_agent(agent_id=agent_id, note="", actor=owner.actor, at=timezone.now())

    model.acts[1] = kill
    model.answers = 9
    ask(owner)
    assert (ended(), len(model.paid)) == (("cancelled", "agent_stopped"), 2)


def test_a_parent_that_is_ended_in_the_middle_of_a_childs_request(
    model: Model,
    owner: Any,
    scripts: Any,  # noqa: F811
) -> None:
    """What it called keeps what it spent; the run above it spent nothing itself."""

    def call(invocation: Any, ctx: Any) -> Any:
        return ctx.call_agent(agent="assistant", tool="chat", input={"text": "hello"})

    scripts["front"] = call
    let_call(owner, factories.make_agent("front"), Agent.objects.get(slug="assistant"))

    def cancel() -> None:
        root = Run.objects.get(agent__slug="front")
        control.cancel_run(run_id=root.id, actor=owner.actor, at=timezone.now())

    model.acts[1] = cancel
    invoke(Ask(agent="front", input={}), caller=owner, at=timezone.now())
    assert ended() == ("cancelled", "by_hand")
    assert Run.objects.get(agent__slug="front").cost_micros == 0


def test_time_that_runs_out_in_the_middle_of_a_request(model: Model, owner: Any) -> None:
    def pass_deadline() -> None:
        Run.objects.filter(finished_at=None).update(
            deadline_at=timezone.now() - timedelta(seconds=1)
        )

    model.acts[1] = pass_deadline
    model.answers = 9
    run = ask(owner)
    assert (ended(), len(model.paid)) == (("timed_out", "deadline"), 2)
    assert (run.cost_micros, run.usage) == (model.cost_micros, model.usage)


def reaped() -> Any:
    Run.objects.filter(finished_at=None).update(lease_until=timezone.now() - timedelta(hours=1))
    return [verdict for _, verdict in spine.reap_runs(limit=9, at=timezone.now())]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_reaper_and_a_second_attempt(model: Model, owner: Any, is_late: bool) -> None:
    """The first attempt's second answer comes before or after the second attempt has begun."""

    def fall_silent() -> None:
        assert reaped() == [RunStatus.QUEUED]
        if is_late:
            assert work_one(at=timezone.now())
            assert ended() == ("succeeded", "")

    model.acts[1] = fall_silent
    model.answers = 4
    ask(owner, mode="async")
    assert work_one(at=timezone.now())
    if not is_late:
        assert ended() == ("queued", "")
        assert work_one(at=timezone.now())

    run = Run.objects.get(agent__slug="assistant")
    assert (run.status, run.lease_no, len(model.paid)) == ("succeeded", 2, 4)
    assert {number: said["requests"] for number, said in run.spent.items()} == {"1": 2, "2": 2}
