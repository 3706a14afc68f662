"""What policies oblige to where a call is let through: hide, cap, limit."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.models import Agent
from apps.common import ratelimit
from apps.common.actors import Actor, ActorType
from apps.common.ids import uuid7
from apps.policies.models import Decision, DecisionInput
from apps.runs.errors import REASONS, RunDenied, RunRateLimited
from apps.runs.models import Run, RunLog, Step
from apps.runs.services import asking
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.runs.services.sealing import erase_sealed
from apps.trust.models import SealedSecret
from tests.orgs.conftest import Api
from tests.runs.factories import BY, capability, grant, make_agent
from tests.runs.governing import in_force

pytestmark = pytest.mark.usefixtures("org")

NUMBER = "4111-1111-1111"
CARD: dict[str, Any] = {"card": {"number": NUMBER}, "text": f"Charge {NUMBER}"}
MASK = 'obligations := {"mask": ["input.card.number", "output.receipt"]}\n'


def ask(agent: str = "desk", **fields: Any) -> Any:
    fields.setdefault("input", CARD)
    return invoke(Ask(agent=agent, **fields), caller=BY, at=timezone.now())


@pytest.fixture
def desk(scripts: Any) -> list[Any]:
    """An agent that says what it is told wherever it can; what it was really given."""
    given: list[Any] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        given.append(invocation.input)
        ctx.log("info", f"Charging {NUMBER}", number=NUMBER)
        with ctx.step(f"check {NUMBER}", {"number": NUMBER}):
            pass
        ctx.call_tool(name="POST", input=invocation.input, call=lambda key: {"echo": NUMBER})
        return {"receipt": "R-1", "told": NUMBER}

    scripts["desk"] = script
    make_agent("desk")
    return given


def kept() -> str:
    """Everything of every run that stands in the database, as text."""
    rows = [
        list(model.objects.values())  # type: ignore[attr-defined]
        for model in (Run, Step, RunLog, Decision, DecisionInput)
    ]
    return json.dumps(rows, default=str)


def test_what_is_masked_stands_nowhere_and_the_agent_works_with_it(desk: list[Any]) -> None:
    in_force(MASK)
    run = ask().run

    assert desk == [CARD]
    assert run.output == {"receipt": "[masked]", "told": "[masked]"}
    assert run.input == {"card": {"number": "[masked]"}, "text": "Charge [masked]"}
    assert run.title == "Charge [masked]"
    assert NUMBER not in kept() and "R-1" not in kept()
    assert Run.objects.get().is_sealed
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from run_events where data::text like %s", [f"%{NUMBER}%"])
        assert cursor.fetchone() == (0,)
    # The control: without the policy it stands there.
    assert SealedSecret.objects.filter(ref__startswith="run-inputs/").count() == 1
    erase_sealed(timezone.now())
    assert SealedSecret.objects.filter(ref__startswith="run-inputs/").count() == 0
    assert not Run.objects.get().is_sealed


def test_a_run_that_begins_later_is_given_its_whole_input(desk: list[Any]) -> None:
    in_force(MASK)
    run = ask(mode="async").run
    assert NUMBER not in json.dumps(run.input) and desk == []
    erase_sealed(timezone.now())  # it is not over
    assert work_one(at=timezone.now())
    assert desk == [CARD]
    assert Run.objects.get().output == {"receipt": "[masked]", "told": "[masked]"}
    assert NUMBER not in kept()


def test_what_is_hidden_goes_hidden_to_other_agents_records(desk: list[Any], scripts: Any) -> None:
    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_agent(agent="desk", tool="desk", input={"said": NUMBER})

    scripts["front"] = front
    grant(make_agent("front"), Agent.objects.get(slug="desk"))
    in_force(MASK.replace("}\n", '} if input.resource.agent == "front"\n'))
    run = ask("front").run
    assert (run.status, desk) == ("succeeded", [{"said": NUMBER}])
    assert Run.objects.get(tool="desk").input == {"said": "[masked]"}
    assert NUMBER not in kept()


def test_a_price_over_the_cap_is_refused(scripts: Any) -> None:
    scripts["cheap"] = scripts["dear"] = lambda invocation, ctx: {}
    for slug, price in (("cheap", 100), ("dear", 101)):
        make_agent(slug, tools=[capability(slug, price_micros=price)])
    in_force('obligations := {"cap_cost_micros": 100}\n')

    assert ask("cheap").run.status == "succeeded"
    with pytest.raises(RunDenied) as refused:
        ask("dear")
    assert refused.value.extra["reason"] == "policy_cost"
    assert Run.objects.get(tool="dear").status == "denied"
    decision = Decision.objects.get(tool="dear")
    assert (decision.result, decision.reasons) == ("deny", [REASONS["policy_cost"]])
    assert Decision.objects.get(tool="cheap").result == "allow"


def test_spending_over_the_cap_ends_the_run_with_what_it_had_spent(scripts: Any) -> None:
    def pay(ctx: Any, cost: int) -> dict[str, Any]:
        ctx.spend(input_tokens=1, output_tokens=1, cost_micros=Decimal(cost))
        return {}

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        for number in range(9):
            ctx.call_tool(name=f"chat {number}", input={}, call=lambda key: pay(ctx, 40))
        return {}

    scripts["talker"] = script
    make_agent("talker")
    in_force('obligations := {"cap_cost_micros": 100}\n')
    run = ask("talker").run
    assert (run.status, run.cost_micros) == ("failed", 120)
    assert (run.error or {})["code"] == "policy_cost"
    assert [step.status for step in Step.objects.order_by("ordinal")] == [
        "succeeded",
        "succeeded",
        "failed",
    ]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> str:
    """A caller of its own, whom no other test has counted."""
    return f"key_{uuid7().hex}"


def test_calls_beyond_the_rate_are_refused_on_record(desk: list[Any], fresh: str) -> None:
    in_force('obligations := {"limit_rate": [{"requests": 2, "seconds": 3600}]}\n')
    one = replace(BY, actor=Actor(ActorType.API_KEY, fresh, "One"))
    own = replace(BY, actor=Actor(ActorType.API_KEY, f"{fresh[:-1]}x", "Another key of theirs"))
    other = replace(one, member_id=uuid7())

    def call(who: Any) -> Any:
        return invoke(Ask(agent="desk", input={}), caller=who, at=timezone.now()).run.status

    assert [call(one), call(own)] == ["succeeded", "succeeded"]
    with pytest.raises(RunRateLimited) as limited:
        call(own)
    run = Run.objects.order_by("created_at").last()
    assert run is not None and (run.status, run.reason) == ("denied", "policy_rate")
    assert limited.value.extra["run"] == f"run_{run.id.hex}"
    assert 0 < limited.value.extra["retry_after"] <= 7200
    decision = Decision.objects.get(run=run)
    assert (decision.result, decision.reasons) == ("deny", [REASONS["policy_rate"]])
    assert call(other) == "succeeded"


def test_a_rate_that_cannot_be_counted_lets_nothing_through(
    desk: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        def spend(self, policy: Any, identity: str) -> None:
            return None

    in_force('obligations := {"limit_rate": [{"requests": 2, "seconds": 60}]}\n')
    monkeypatch.setattr(asking.ratelimit, "default_limiter", Silent)
    with pytest.raises(RunDenied) as refused:
        ask()
    assert refused.value.extra["reason"] == "policy_unavailable"
    assert desk == [] and ratelimit.default_limiter is Silent


def test_the_api_says_429_with_when_to_come_again(desk: list[Any], api: Api) -> None:
    in_force('obligations := {"limit_rate": [{"requests": 1, "seconds": 3600}]}\n')
    assert api.post("/agents/desk/invoke", {"input": {}}).status_code == 200
    answer = api.post("/agents/desk/invoke", {"input": {}})
    found = answer.json()
    assert (answer.status_code, found["code"]) == (429, "run_rate_limited")
    assert found["run"].startswith("run_") and found["decision_id"].startswith("dec_")
    assert int(answer["Retry-After"]) == found["retry_after"]
