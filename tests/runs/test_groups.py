"""Policies that go by groups: of the person who asks, by whichever key, or behind an agent."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.runtimes.base import Annotations, Effect
from apps.common.ids import public_id
from apps.orgs.models import Member
from apps.orgs.selectors import find_member_principal
from apps.orgs.services.keys import create_key
from apps.orgs.services.members import set_member_groups
from apps.policies.models import DecisionInput
from apps.runs.errors import RunDenied
from apps.runs.models import Run, Step
from apps.runs.services.invoke import work_one
from tests.orgs.conftest import Api, problem, token_for
from tests.runs.factories import grant, make_agent
from tests.runs.governing import HELLO, approve, ask, in_force, state

pytestmark = pytest.mark.usefixtures("org")

FINANCE_ONLY = """deny contains "Only for finance." if {
  input.action.name in {"agent.invoke", "agent.call"}
  not "finance" in input.subject.groups
}
"""


def put(who: Any, boss: Any, *groups: str) -> Any:
    """The member in these groups, as their next request finds them."""
    at = timezone.now()
    member = set_member_groups(member_id=who.member_id, groups=[*groups], by=boss, at=at)
    found = find_member_principal(user_id=member.user_id)
    assert found is not None
    return found


@pytest.fixture
def echo(scripts: Any) -> Agent:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo")


def test_who_is_not_in_the_group_is_stopped_whichever_way_they_ask(
    echo: Agent, org: Any, asker: Any, boss: Any
) -> None:
    front = make_agent("front")
    grant(front, echo)
    # The key of an agent is its maker's deed, so the groups are the maker's too.
    of_agent = create_key(name="Outside", agent="front", by=boss, at=timezone.now())
    of_member = Api(token_for(org, asker))
    in_force(FINANCE_ONLY)

    with pytest.raises(RunDenied, match="Only for finance"):
        ask(asker)
    for client in (of_member, Api(of_agent.token)):
        answer = client.post("/agents/echo/invoke", {"input": HELLO})
        assert problem(answer) == (403, "run_denied")
        assert "Only for finance." in answer.json()["detail"]
    assert set(Run.objects.values_list("status", "reason")) == {("denied", "policy")}
    assert Step.objects.count() == 0

    # The controls: the same once the group is given.
    asker, boss = put(asker, boss, "finance", "emea"), put(boss, boss, "finance")
    DecisionInput.objects.all().delete()
    assert ask(asker).run.status == "succeeded"
    for client in (of_member, Api(of_agent.token)):
        answer = client.post("/agents/echo/invoke", {"input": HELLO})
        assert answer.json()["status"] == "succeeded"
    told = [row.document["subject"] for row in DecisionInput.objects.order_by("at")]
    assert [(one["type"], one["groups"]) for one in told] == [
        ("user", ["emea", "finance"]),
        ("user", ["emea", "finance"]),
        ("agent", ["finance"]),
    ]
    assert told[2]["id"] == public_id("agt", front.id)


def test_what_an_agent_calls_is_asked_with_the_groups_of_who_had_it_work(
    echo: Agent, scripts: Any, asker: Any, boss: Any
) -> None:
    effect = Effect("send", Annotations(), "mail.example")

    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.call_tool(name="POST", input={}, call=lambda key: {}, effect=effect)
        return ctx.call_agent(agent="echo", tool="echo", input=HELLO)

    scripts["front"] = front
    grant(make_agent("front"), echo)
    in_force("")
    assert ask(put(asker, boss, "finance"), "front").run.status == "succeeded"
    rows = DecisionInput.objects.select_related("decision")
    found = {row.decision.action: row.document["subject"]["groups"] for row in rows}
    assert found == dict.fromkeys(("agent.invoke", "tool.call", "agent.call"), ["finance"])


@pytest.mark.parametrize("taken", [True, False])
def test_a_run_that_waited_is_asked_about_with_the_groups_of_now(
    echo: Agent, asker: Any, boss: Any, taken: bool
) -> None:
    in_force(FINANCE_ONLY + 'require_approval contains "A person agrees."\n')
    asker = put(asker, boss, "finance")
    run = ask(asker).run
    assert state(run) == ("awaiting_approval", "")
    if taken:
        put(asker, boss)
    approve(boss, run)
    assert work_one(at=timezone.now()) is not taken
    assert state(run) == (("denied", "policy") if taken else ("succeeded", ""))
    assert Step.objects.count() == 0


def test_a_run_that_is_queued_works_with_the_groups_of_then(
    scripts: Any, asker: Any, boss: Any
) -> None:
    effect = Effect("send", Annotations(), "mail.example")
    scripts["desk"] = lambda invocation, ctx: ctx.call_tool(
        name="POST", input={}, call=lambda key: {"ok": True}, effect=effect
    )
    make_agent("desk")
    rule = """deny contains "Only for finance." if {
  input.action.name == "tool.call"
  not "finance" in input.subject.groups
}
"""
    in_force(rule)
    asker = put(asker, boss, "finance")
    first, second = (ask(asker, "desk", mode="async").run for _ in range(2))
    assert work_one(at=timezone.now()) and state(first) == ("succeeded", "")
    put(asker, boss)
    assert work_one(at=timezone.now()) and state(second)[0] == "failed"
    assert (Run.objects.get(id=second.id).error or {})["code"] == "policy"
    assert Member.objects.get(id=asker.member_id).groups == []
