"""Calls that an earlier attempt of a run left unfinished: they go on as things stand now."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Grant
from apps.agents.runtimes.base import Annotations, CallFailed, Effect
from apps.approvals.models import Approval
from apps.orgs.models import Project
from apps.policies.decisions import find_document
from apps.policies.engine import get_engine
from apps.policies.engine.combining import combine
from apps.policies.engine.types import Opinion
from apps.policies.models import Decision
from apps.policies.services import deciding
from apps.runs.models import Run
from apps.runs.services.invoke import work_one
from apps.trust.canonical import digest
from tests.runs.factories import grant, make_agent
from tests.runs.governing import HELLO, approve, ask, in_force, state

pytestmark = pytest.mark.usefixtures("org")

ASKS_FOR_ECHO = """require_approval contains "A person agrees." if {
  input.action.name == "agent.call"
  input.resource.agent == "echo"
}
"""
MIDDLE = 'input.resource.agent == "middle"\n'


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def chain(scripts: Any, done: list[str]) -> dict[str, Agent]:
    """An agent that calls another that calls a third, which needs a person's word."""

    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        try:
            return ctx.call_agent(agent="middle", tool="middle", input=HELLO)
        except CallFailed as failed:
            return {"code": failed.code}

    def middle(invocation: Any, ctx: Any) -> dict[str, Any]:
        done.append("middle")
        return ctx.call_agent(agent="echo", tool="echo", input=HELLO)

    scripts.update(front=front, middle=middle)
    scripts["echo"] = lambda invocation, ctx: done.append("echo") or invocation.input
    agents = {slug: make_agent(slug) for slug in ("front", "middle", "echo")}
    grant(agents["front"], agents["middle"])
    grant(agents["middle"], agents["echo"])
    in_force(ASKS_FOR_ECHO, name="Ask")
    return agents


def work() -> None:
    assert work_one(at=timezone.now())


@pytest.mark.parametrize("change", ["policy", "no_grant", "agent_suspended", ""])
def test_what_may_no_more_is_ended_and_not_taken_over(
    chain: dict[str, Agent], done: list[str], asker: Any, boss: Any, change: str
) -> None:
    run = ask(asker, "front").run
    assert (run.status, done) == ("awaiting_approval", ["middle"])
    match change:
        case "policy":
            in_force(f'deny contains "Not any more." if {MIDDLE}')
        case "no_grant":
            Grant.objects.filter(callee=chain["middle"]).update(
                active=False, revoked_at=timezone.now()
            )
        case "agent_suspended":
            chain["middle"].suspend(note="")
            chain["middle"].save()
    approve(boss, run)
    work()

    child = Run.objects.get(tool="middle")
    if not change:  # the control
        assert (state(run), done) == (("succeeded", ""), ["middle", "middle", "echo"])
        assert child.status == "succeeded"
        return
    assert (state(run), Run.objects.get(id=run.id).output) == (("succeeded", ""), {"code": change})
    assert (child.status, child.reason, done) == ("cancelled", change, ["middle"])
    assert not Run.objects.filter(tool="echo").exists()
    if change == "policy":
        said = Decision.objects.filter(run=child).order_by("at").last()
        assert said is not None and (said.result, said.reasons) == ("deny", ["Not any more."])


class DownOnce:
    """An engine that has no answer the first time that it is asked about one agent."""

    def __init__(self, agent: str) -> None:
        self.agent, self.is_up = agent, False

    def evaluate(self, texts: Any, document: Any) -> Any:
        if self.is_up or document["resource"]["agent"] != self.agent:
            return get_engine().evaluate(texts, document)
        self.is_up = True
        return combine([Opinion(text, "unavailable") for text in texts], micros=0)


def test_what_policies_could_not_be_asked_about_for_a_moment_goes_on_later(
    chain: dict[str, Agent],
    scripts: Any,
    done: list[str],
    asker: Any,
    boss: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        try:
            return ctx.call_agent(agent="middle", tool="middle", input=HELLO)
        except CallFailed as failed:
            code, effect = failed.code, Effect("send", Annotations(), "mail.example")
            return ctx.call_tool(
                name="POST", input={}, call=lambda key: {"code": code}, effect=effect
            )

    scripts["front"] = front
    in_force('require_approval contains "Send." if input.action.name == "tool.call"\n')
    run = ask(asker, "front").run
    approve(boss, run)
    engine = DownOnce("middle")
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "get_engine", lambda: engine)
        work()
    child = Run.objects.get(tool="middle")
    assert (state(run), state(child)) == (("awaiting_approval", ""), ("awaiting_approval", ""))
    assert engine.is_up and done == ["middle"]
    said = Decision.objects.filter(run=child).order_by("at").last()
    assert said is not None and said.result == "unavailable"

    approve(boss, run)
    work()  # it goes on to the call that was asked about first
    approve(boss, run)
    work()
    assert (state(run), state(child)) == (("succeeded", ""), ("succeeded", ""))
    assert done == ["middle"] * 3 + ["echo"] and Run.objects.count() == 3


def test_a_decision_on_a_call_shows_what_was_given_in_it(
    chain: dict[str, Agent], scripts: Any, done: list[str], asker: Any, boss: Any
) -> None:
    said = {"text": "for echo"}
    scripts["middle"] = lambda invocation, ctx: ctx.call_agent(
        agent="echo", tool="echo", input=said
    )
    run = ask(asker, "front", input={"text": "for front"}).run
    approve(boss, run)
    work()  # the middle one is taken over
    assert state(run) == ("succeeded", "")
    shown = []
    for decision in Decision.objects.order_by("at"):
        document = find_document(decision)
        assert document is not None
        shown.append((document["resource"]["agent"], document["context"]["input"]))
        if decision.action == "agent.call":
            assert bytes(decision.input_digest) == digest(document)
    given = {"front": {"text": "for front"}, "middle": HELLO, "echo": said}
    assert shown == [(agent, given[agent]) for agent, _ in shown]
    assert [agent for agent, _ in shown] == ["front", "middle", "echo", "middle", "echo"]


def test_a_person_is_asked_about_what_was_begun_before_there_was_a_reason_to(
    chain: dict[str, Agent], done: list[str], asker: Any, boss: Any
) -> None:
    run = ask(asker, "front").run
    in_force(f'require_approval contains "Middle, too." if {MIDDLE}')
    approve(boss, run)
    work()
    assert (state(run), done) == (("awaiting_approval", ""), ["middle"])
    assert Approval.objects.get(status="pending").reasons == ["Middle, too."]

    approve(boss, run)
    work()  # it goes on to the call that was asked about first
    assert (state(run), done) == (("awaiting_approval", ""), ["middle"] * 2)
    assert Approval.objects.get(status="pending").reasons == ["A person agrees."]
    approve(boss, run)
    work()  # what was agreed to once isn't asked about again
    assert (state(run), done) == (("succeeded", ""), ["middle"] * 3 + ["echo"])
    assert Run.objects.count() == 3


def test_a_call_that_is_taken_over_is_counted_once(
    chain: dict[str, Agent], done: list[str], asker: Any, boss: Any
) -> None:
    rate = '{"limit_rate": {"requests": 1, "seconds": 3600}}'
    in_force(f"obligations := {rate} if {MIDDLE}")
    in_force(f'obligations := {rate} if input.resource.agent == "echo"\n')
    run = ask(asker, "front").run
    approve(boss, run)
    work()
    assert (state(run), done) == (("succeeded", ""), ["middle", "middle", "echo"])
    # The control: another one is one too many.
    assert ask(asker, "front").run.output == {"code": "policy_rate"}


def test_an_approved_tool_call_is_counted_once(scripts: Any, asker: Any, boss: Any) -> None:
    def post(invocation: Any, ctx: Any) -> dict[str, Any]:
        effect = Effect("send", Annotations(), "mail.example")
        return ctx.call_tool(name="POST", input={}, call=lambda key: {"ok": True}, effect=effect)

    scripts["desk"] = post
    make_agent("desk")
    in_force(
        'require_approval contains "Ask." if input.action.name == "tool.call"\n'
        'obligations := {"limit_rate": {"requests": 1, "seconds": 3600}} if {\n'
        '  input.action.name == "tool.call"\n}\n'
    )
    run = ask(asker, "desk").run
    approve(boss, run)
    work()
    assert state(run) == ("succeeded", "")
    over = ask(asker, "desk").run  # nobody is asked about one too many
    assert (over.status, (over.error or {})["code"]) == ("failed", "policy_rate")
    assert Approval.objects.count() == 1
    assert Decision.objects.filter(action="tool.call").order_by("at").last().result == "deny"  # type: ignore[union-attr]


@pytest.mark.parametrize("capped", ["front", "middle"])
def test_a_cap_counts_what_earlier_attempts_have_spent_below(
    chain: dict[str, Agent], scripts: Any, asker: Any, boss: Any, capped: str
) -> None:
    def chat(ctx: Any) -> dict[str, Any]:
        ctx.spend(input_tokens=1, output_tokens=1, cost_micros=Decimal(60))
        return {}

    def middle(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.call_tool(name="chat", input={}, call=lambda key: chat(ctx), is_whole=False)
        return ctx.call_agent(agent="echo", tool="echo", input=HELLO)

    scripts["middle"] = middle
    in_force(f'obligations := {{"cap_cost_micros": 100}} if input.resource.agent == "{capped}"\n')
    run = ask(asker, "front").run
    assert run.status == "awaiting_approval"
    approve(boss, run)
    work()
    assert Run.objects.get(id=run.id).output == {"code": "policy_cost"}
    child = Run.objects.get(tool="middle")
    assert (child.status, child.cost_micros) == ("failed", 120)
    assert not Run.objects.filter(tool="echo").exists()


def test_tags_that_change_while_a_run_is_at_work_count_for_all_that_it_does_then(
    scripts: Any, asker: Any
) -> None:
    effect = Effect("send", Annotations(), "mail.example")

    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        Project.objects.filter(is_default=True).update(tags=invocation.input["tags"])
        said = ctx.call_agent(agent="echo", tool="echo", input=HELLO)
        sent = ctx.call_tool(name="POST", input={}, call=lambda key: {"ok": True}, effect=effect)
        return {**said, **sent}

    scripts["front"] = front
    scripts["echo"] = lambda invocation, ctx: invocation.input
    caller, callee = make_agent("front"), make_agent("echo")
    grant(caller, callee)
    now = timezone.now()
    other = Project.objects.create(name="Other", slug="other", created_at=now, updated_at=now)
    Agent.objects.filter(id=callee.id).update(project=other)
    in_force(
        'deny contains "Closed." if {\n  input.action.name == "tool.call"\n'
        '  "closed" in input.resource.project.tags\n}\n'
    )

    ask(asker, "front", input={"tags": []})
    run = ask(asker, "front", input={"tags": ["open"]}).run
    assert (run.status, run.output) == ("succeeded", {**HELLO, "ok": True})
    run = ask(asker, "front", input={"tags": ["closed"]}).run
    assert (run.status, (run.error or {})["code"]) == ("failed", "policy")
    scripts["front"] = lambda invocation, ctx: (
        Project.objects.filter(is_default=True).update(tags=["open"])
        and ctx.call_tool(name="POST", input={}, call=lambda key: {"ok": True}, effect=effect)
    )
    assert ask(asker, "front").run.status == "succeeded"  # closed when it began
