"""What policies say of an invocation, and what follows: on record, in one commit, and no step."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.runtimes.base import Annotations, CallFailed, Effect
from apps.orgs.models import Project
from apps.policies.models import Decision, DecisionInput, PolicyHead
from apps.policies.services.library import get_template
from apps.runs.errors import RunDenied
from apps.runs.models import Run, Step
from apps.runs.services.invoke import Ask, invoke
from tests.orgs.conftest import Api, problem
from tests.runs.factories import BY, capability, grant, make_agent
from tests.runs.governing import count_up, in_force

pytestmark = pytest.mark.usefixtures("org")

NO_MEMBERS = """deny contains "Members may not use what is sensitive." if {
  input.subject.role == "member"
  "sensitive" in input.resource.project.tags
}
"""
HELLO = {"text": "hello"}


def ask(agent: str = "echo", **fields: Any) -> Any:
    fields.setdefault("input", HELLO)
    return invoke(Ask(agent=agent, **fields), caller=BY, at=timezone.now())


@pytest.fixture
def echo(scripts: Any) -> Agent:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo", tools=[capability("echo", annotations={"read_only": True})])


@pytest.fixture
def sensitive() -> Project:
    project = Project.objects.get(is_default=True)
    project.tags = ["sensitive"]
    project.save()
    return project


def test_a_policy_by_role_and_tag_stops_an_invocation_on_record(
    echo: Agent, sensitive: Project, api_as: Any, api: Api
) -> None:
    in_force(NO_MEMBERS)
    member = api_as("member")

    answer = member.post("/agents/echo/invoke", {"input": HELLO})
    refused = answer.json()
    assert problem(answer) == (403, "run_denied")
    run, decision = Run.objects.get(), Decision.objects.get()
    assert refused["run"] == f"run_{run.id.hex}"
    assert refused["decision_id"] == f"dec_{decision.id.hex}"
    assert "Members may not use what is sensitive." in refused["detail"]
    assert (run.status, run.reason, run.decision_id) == ("denied", "policy", decision.id)
    assert (decision.result, decision.run_id, decision.ordinal) == ("deny", run.id, None)
    assert (decision.agent_id, decision.tool, decision.action) == (echo.id, "echo", "agent.invoke")
    assert decision.caller.principal == run.principal
    document = DecisionInput.objects.get(decision=decision).document
    assert document["subject"]["role"] == "member"
    assert document["context"]["input_run"] == f"run_{run.id.hex}"
    assert Step.objects.count() == 0
    assert member.get(f"/runs/run_{run.id.hex}").json()["decision_id"] == refused["decision_id"]

    # The controls: another role is let through, and so is a member without the tag.
    assert api.post("/agents/echo/invoke", {"input": HELLO}).json()["status"] == "succeeded"
    sensitive.tags = []
    sensitive.save()
    assert member.post("/agents/echo/invoke", {"input": HELLO}).json()["status"] == "succeeded"
    assert list(Decision.objects.order_by("at").values_list("result", flat=True)) == [
        "deny",
        "allow",
        "allow",
    ]


def test_without_a_policy_there_is_no_decision_unless_the_org_refuses(echo: Agent) -> None:
    assert ask().run.decision_id is None
    PolicyHead.objects.update(default_answer="deny")
    count_up()

    with pytest.raises(RunDenied) as refused:
        ask()
    assert refused.value.extra["reason"] == "policy"
    assert [(d.result, d.policies) for d in Decision.objects.all()] == [("deny", [])]


def test_what_cannot_be_evaluated_is_unavailable_and_no_denial(echo: Agent) -> None:
    in_force('obligations := {"mask": 7}\n')

    with pytest.raises(RunDenied) as refused:
        ask()
    assert refused.value.extra["reason"] == "policy_unavailable"
    assert Decision.objects.get().result == "unavailable"
    assert Run.objects.get().status == "denied"


def test_a_policy_counts_from_its_activation_on_in_every_process(echo: Agent) -> None:
    """What this process remembers of policies and tags opens nothing."""
    in_force('deny contains "no" if "closed" in input.resource.project.tags\n')
    assert ask().run.status == "succeeded"

    Project.objects.filter(is_default=True).update(tags=["closed"])
    with pytest.raises(RunDenied):
        ask()
    Project.objects.filter(is_default=True).update(tags=[])
    assert ask().run.status == "succeeded"
    in_force('deny contains "nothing at all" if true\n')
    with pytest.raises(RunDenied):
        ask()


def test_naming_another_project_loses_no_tag_and_no_policy(echo: Agent) -> None:
    other = Project.objects.create(
        name="Other", slug="other", created_at=timezone.now(), updated_at=timezone.now()
    )
    home = Project.objects.get(is_default=True)
    in_force('deny contains "home" if true\n', scope="project", project=home)
    with pytest.raises(RunDenied, match="home"):
        ask(project="other")
    assert Run.objects.get().project_id == other.id


def test_a_repeated_request_is_answered_and_decided_once(echo: Agent) -> None:
    in_force("")
    first, again = ask(key="k"), ask(key="k")
    assert (again.replayed, again.run.id) == (True, first.run.id)
    assert again.run.decision_id == first.run.decision_id == Decision.objects.get().id


def test_a_call_between_agents_is_asked_about_too(echo: Agent, scripts: Any) -> None:
    told: list[CallFailed] = []

    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(CallFailed) as failed:
            ctx.call_agent(agent="echo", tool="echo", input=HELLO)
        told.append(failed.value)
        return {}

    scripts["front"] = front
    caller = make_agent("front")
    in_force(
        """deny contains "Not through front." if {
  input.action.name == "agent.call"
  input.context.caller == "front"
  input.context.depth == 1
  input.subject.role == "member"
}
"""
    )
    assert ask("front").run.status == "succeeded"
    assert told[0].code == "no_grant"  # who may not call at all learns of no policy
    grant(caller, echo)
    run = ask("front").run
    assert (told[1].code, "Not through front." in told[1].message) == ("policy", True)
    child = Run.objects.get(parent_id=run.id)
    assert (child.status, child.reason) == ("denied", "policy")
    assert Decision.objects.get(run=child).action == "agent.call"
    assert child.member_id == BY.member_id
    assert ask("echo").run.status == "succeeded"


def test_the_library_s_limit_of_depth_lets_calls_within_it_through(
    echo: Agent, scripts: Any
) -> None:
    scripts["front"] = lambda invocation, ctx: ctx.call_agent(
        agent="echo", tool="echo", input=HELLO
    )
    front = make_agent("front")
    grant(front, echo)
    rules = get_template("call_depth").rego_text.partition("default allow := true")[2]
    in_force(rules)
    run = ask("front").run
    assert (run.status, run.output) == ("succeeded", HELLO)
    in_force(rules.replace("most := 2", "most := 0"))
    assert (ask("front").run.error or {})["code"] == "policy"


def test_lineage_and_depth_are_those_of_whoever_calls(echo: Agent, scripts: Any) -> None:
    effect = Effect("send", Annotations(), "mail.example")

    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.call_tool(name="POST", input={}, call=lambda key: {}, effect=effect)
        return ctx.call_agent(agent="echo", tool="echo", input=HELLO)

    scripts["front"] = front
    grant(make_agent("front"), echo)
    in_force("")
    ask("front")
    found = {
        row.decision.action: [row.document["context"][name] for name in ("lineage", "depth")]
        for row in DecisionInput.objects.select_related("decision")
    }
    assert found == {
        "agent.invoke": [[], 0],
        "tool.call": [["front"], 1],
        "agent.call": [["front"], 1],
    }


def test_what_a_call_costs_at_most_is_its_price_and_what_the_agent_may_spend(
    scripts: Any,
) -> None:
    scripts["talker"] = lambda invocation, ctx: {}
    price, limits = [capability("talker", price_micros=20)], {"limits": {"cost_micros": 500}}
    make_agent("talker", tools=price, config=limits)
    in_force('obligations := {"cap_cost_micros": 100}\n')  # what it spends is counted, not guessed
    assert ask("talker").run.status == "succeeded"
    assert DecisionInput.objects.get().document["context"]["cost_micros"] == 520


def test_a_warm_invocation_with_policies_takes_two_round_trips(
    echo: Agent, django_assert_num_queries: Any
) -> None:
    for number in range(3):
        in_force(f'deny contains "no" if input.context.input.text == "{number}"\n')
    ask()
    with django_assert_num_queries(2):
        ask(input={"text": "other"})
    count_up()
    # A stale admission; the agent, the head, texts and attachments; the run, and its end.
    with django_assert_num_queries(7):
        ask()


def test_a_rule_by_slug_knows_the_agents_own_project_too(echo: Agent) -> None:
    now = timezone.now()
    Project.objects.create(
        name="Other", slug="other", tags=["open"], created_at=now, updated_at=now
    )
    Project.objects.filter(is_default=True).update(tags=["closed"])
    in_force(
        """deny contains "Not from outside." if {
  input.resource.agent_project == {"slug": "default", "tags": ["closed"]}
  input.resource.project == {"slug": "other", "tags": ["open", "closed"]}
}
"""
    )
    assert ask().run.status == "succeeded"
    with pytest.raises(RunDenied, match="Not from outside"):
        ask(project="other")
