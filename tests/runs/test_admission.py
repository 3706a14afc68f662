"""What a call has to pass before it begins, and what its key is answered with."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services.agents import retire_agent
from apps.agents.services.capabilities import update_capability
from apps.agents.services.changing import save
from apps.common.actors import Actor, ActorType
from apps.common.errors import Invalid, NotFound
from apps.common.ids import uuid7
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.orgs.services.projects import archive_project, create_project
from apps.runs import spine
from apps.runs.errors import REASONS, RunDenied
from apps.runs.models import Run, Step
from apps.runs.services import admission
from apps.runs.services.asking import Caller, Decision
from apps.runs.services.execution import statement_of
from apps.runs.services.finding import find_call, title_of
from apps.runs.services.invoke import Answer, Ask, invoke
from tests.orgs.conftest import Api, problem
from tests.runs.factories import BY, CALLER, admit, capability, make_agent

pytestmark = pytest.mark.usefixtures("org")


def ask(agent: str = "echo", **fields: Any) -> Answer:
    fields.setdefault("input", {"text": "hello"})
    return invoke(Ask(agent=agent, **fields), caller=BY, at=timezone.now())


@pytest.fixture
def echo(scripts: Any) -> Agent:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo")


@pytest.mark.parametrize(
    ("auth", "person", "agent"),
    [("any", None, None), ("agent", "auth_agent", None), ("person", None, "auth_person")],
)
def test_the_tools_own_word_counts_without_a_policy(auth: str, person: Any, agent: Any) -> None:
    callers = [Caller(who, None, None) for who in (CALLER, Actor(ActorType.AGENT, "agt_1", "f"))]
    make_agent("for", tools=[capability("tool", auth=auth)])
    found = [find_call(Ask(agent="for", input={}), who) for who in callers]
    said = [admission.decide(call, fresh=True, at=timezone.now()) for call in found]
    assert [decision.refusal for decision in said] == [person, agent]
    assert [list(admission.scopes_of(call)) for call in found] == [[], []]


@pytest.mark.parametrize(
    ("place", "said", "reason"),
    [
        ("decide", Decision("auth_agent"), "auth_agent"),
        ("decide", Decision("policy"), "policy"),
        ("scopes_of", [uuid7()], "no_budget"),
    ],
)
def test_each_place_can_refuse_a_call_on_record(
    echo: Agent, monkeypatch: pytest.MonkeyPatch, place: str, said: Any, reason: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(admission, place, lambda *call, **more: said)
        with pytest.raises(RunDenied) as refused:
            ask(key="k")
    run = Run.objects.get()
    assert refused.value.extra == {"reason": reason, "run": f"run_{run.id.hex}"}
    assert refused.value.detail == REASONS[reason]
    assert (run.status, run.reason, run.output) == ("denied", reason, None)
    assert Step.objects.count() == 0
    assert ask(key="k").run.status == "succeeded"


def test_admission_gets_the_tools_price_and_no_scope(
    scripts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[Any] = []
    real = spine.admit
    monkeypatch.setattr(
        spine, "admit", lambda order, *, at: orders.append(order) or real(order, at=at)
    )
    scripts["echo"] = lambda invocation, ctx: {}
    make_agent("echo", tools=[capability("echo", price_micros=2500)])
    assert ask().run.status == "succeeded"
    assert [(order.price_micros, tuple(order.scopes)) for order in orders] == [(2500, ())]


def test_a_run_ends_unsigned(echo: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    real = spine.close_run

    def close(hold: Any, ending: Any, *, statement: Any, **more: Any) -> Any:
        said.append((statement, ending.status))
        return real(hold, ending, statement=statement, **more)

    monkeypatch.setattr(spine, "close_run", close)
    assert ask().run.status == "succeeded"
    assert said == [(None, "succeeded")]
    assert statement_of.__doc__ and "unsigned" in statement_of.__doc__


@pytest.mark.parametrize(
    ("input", "title"),
    [
        ({"n": 1, "text": "  Good morning \nand more"}, "Good morning"),
        ({"a": " \n ", "b": "second"}, "second"),
        ({"text": "x" * 81}, "x" * 79 + "…"),
        ({"text": "word, " * 20}, "word, " * 12 + "word…"),
        ({"text": f"{'x' * 79} and"}, "x" * 79 + "…"),
        ({"text": "x" * 80}, "x" * 80),
        ({"n": 1, "list": ["no"]}, "tool"),
        ({"text": ""}, "tool"),
        ({}, "tool"),
    ],
)
def test_a_title_is_the_first_line_of_the_first_text(input: Any, title: str) -> None:
    assert title_of("tool", input) == title


def test_a_key_is_answered_after_its_agent_was_retired(echo: Agent, owner: Any) -> None:
    first = ask(key="k")
    retire_agent(agent_id=echo.id, actor=owner.actor, at=timezone.now())

    again = ask(key="k")
    assert (again.replayed, again.run.id, again.run.output) == (
        True,
        first.run.id,
        first.run.output,
    )
    with pytest.raises(IdempotencyKeyReused):
        ask(key="k", input={"text": "other"})
    for fields in ({"key": "new"}, {}):
        with pytest.raises(NotFound):
            ask(**fields)
    assert Run.objects.count() == 1


def test_a_key_is_answered_after_the_schema_was_changed(echo: Agent, owner: Any) -> None:
    first = ask(key="k")
    schema = {"type": "object", "additionalProperties": False}
    update_capability(
        agent_id=echo.id,
        name="echo",
        fields={"input_schema": schema},
        actor=owner.actor,
        at=timezone.now(),
    )

    assert ask(key="k").run.id == first.run.id
    with pytest.raises(Invalid):
        ask(key="new")
    assert Run.objects.count() == 1


def test_a_key_is_answered_after_a_project_was_moved_or_archived(echo: Agent, owner: Any) -> None:
    support = create_project(name="Support", actor=owner.actor, at=timezone.now())
    plain, named = ask(key="plain"), ask(key="named", project="support")
    echo.project = support
    save(echo, timezone.now())
    assert ask(key="plain").run.id == plain.run.id

    archive_project(project_id=support.id, actor=owner.actor, at=timezone.now())
    assert ask(key="named", project="support").run.id == named.run.id
    with pytest.raises(Invalid):
        ask(key="new", project="support")
    assert Run.objects.count() == 2


def test_a_key_whose_run_is_at_work_is_in_flight_though_the_request_is_invalid_now(
    echo: Agent,
) -> None:
    asker = Caller(CALLER, None, None)
    claim = find_call(Ask(agent="echo", input={"n": 1}, key="k"), asker).claim
    admit(echo, claim=claim)
    Agent.objects.filter(id=echo.id).update(slug="renamed")

    with pytest.raises(IdempotencyInFlight):
        ask(key="k", input={"n": 1})
    assert Run.objects.count() == 1


def test_what_cannot_be_admitted_does_not_begin(
    echo: Agent, scripts: Any, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    scripts["echo"] = lambda invocation, ctx: begun.append(invocation) or {}

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(spine, "admit", fail)
        answer = api.post("/agents/echo/invoke", {"input": {}})
    assert problem(answer) == (503, "unavailable")
    assert "connection was lost" not in answer.content.decode()
    assert (Run.objects.count(), Step.objects.count(), begun) == (0, 0, [])

    assert api.post("/agents/echo/invoke", {"input": {}}).status_code == 200
    assert (Run.objects.count(), len(begun)) == (1, 1)
