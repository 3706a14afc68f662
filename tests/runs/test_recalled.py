"""A process remembers who an agent was, and nothing is ever decided by that alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents import directory
from apps.agents.directory import recall_listing
from apps.agents.models import Agent
from apps.common.errors import Invalid, NotFound
from apps.common.lru import WeighedCache
from apps.runs.errors import RunDenied
from apps.runs.models import Run
from apps.runs.services.invoke import Answer, Ask, invoke
from apps.tenants import keys
from tests.runs.factories import BY, capability, grant, make_agent

pytestmark = pytest.mark.usefixtures("org")

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def ask(agent: str = "echo", **fields: Any) -> Answer:
    fields.setdefault("input", {"text": "hello"})
    return invoke(Ask(agent=agent, **fields), caller=BY, at=timezone.now())


@pytest.fixture
def echo(scripts: Any) -> Any:
    """An agent that gives back what it gets, and has been called."""
    scripts["echo"] = lambda invocation, ctx: invocation.input
    agent = make_agent("echo")
    ask()
    assert recall_listing("echo").is_recalled
    return agent


def retire(agent: Any) -> None:
    agent.retire()
    agent.save()


def test_who_took_a_retired_agents_slug_is_called(echo: Any) -> None:
    retire(echo)
    successor = make_agent("echo")
    assert recall_listing("echo").id == echo.id

    assert ask().run.agent_id == successor.id
    assert Run.objects.filter(agent=echo).count() == 1
    assert recall_listing("echo").id == successor.id


def test_a_retired_agent_is_not_there_and_nothing_is_on_record(echo: Any) -> None:
    retire(echo)

    with pytest.raises(NotFound):
        ask()
    with pytest.raises(RunDenied):  # by its id, its state is on record
        ask(f"agt_{echo.id.hex}")
    assert list(Run.objects.values_list("status", flat=True).order_by("created_at")) == [
        "succeeded",
        "denied",
    ]


def test_a_suspended_agent_is_refused_on_record(echo: Any) -> None:
    echo.suspend(note="")
    echo.save()
    with pytest.raises(RunDenied):
        ask()
    assert Run.objects.filter(status="denied", reason="agent_suspended").count() == 1


def test_what_is_remembered_refuses_nothing(echo: Any) -> None:
    """What the agent took before and what it takes now, one way and the other."""
    retire(echo)
    make_agent("echo", tools=[capability("echo", input_schema=NUMBER)])
    assert ask(input={"n": 1}).run.output == {"n": 1}
    with pytest.raises(Invalid) as refused:
        ask()
    assert set(refused.value.by_field) == {"input.n"}

    retire(Agent.objects.get(id=recall_listing("echo").id))
    make_agent("echo", tools=[capability("echo"), capability("other")])
    assert ask(tool="other").run.tool == "other"
    with pytest.raises(Invalid):
        ask(input={"n": 1})


def test_an_agents_call_reaches_who_has_the_slug_now(echo: Any, scripts: Any) -> None:
    scripts["boss"] = lambda invocation, ctx: ctx.call_agent(
        agent="echo", tool="echo", input={"text": "hello"}
    )
    boss = make_agent("boss")
    grant(boss, echo)
    assert ask("boss").run.status == "succeeded"

    retire(echo)
    successor = make_agent("echo")
    refused = ask("boss").run
    assert refused.error is not None and refused.error["code"] == "no_grant"
    grant(boss, successor)
    assert ask("boss").run.status == "succeeded"
    assert Run.objects.filter(agent=successor, status="succeeded").count() == 1


def test_a_slug_is_remembered_for_its_org_alone(echo: Any, other_org: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        with pytest.raises(NotFound):
            recall_listing("echo")
        with pytest.raises(NotFound):
            ask()
        assert Run.objects.count() == 0
    assert recall_listing("echo").id == echo.id


def test_a_recalled_agent_is_not_read(echo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(id_or_slug: str) -> Any:
        raise AssertionError("the agent was read")

    monkeypatch.setattr(directory, "get_listing", read)
    assert ask().run.status == "succeeded"


def test_who_is_remembered_keeps_no_manifest_alive(
    echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process keeps of manifests is bounded by what they weigh, in one place."""
    kept = recall_listing("echo").frozen
    assert recall_listing("echo").frozen is kept
    monkeypatch.setattr(directory, "_manifests", WeighedCache(directory.MANIFESTS_KEPT))

    assert recall_listing("echo").frozen is not kept
    assert recall_listing("echo").is_recalled
    assert ask().run.status == "succeeded"
