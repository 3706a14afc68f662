"""How often people are asked in one run, and what becomes of it after that."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.runtimes.base import Annotations, CallFailed, Effect
from apps.policies.models import Decision
from apps.runs.models import Run, RunLog, Step
from apps.runs.services.invoke import work_one
from tests.runs.factories import grant, make_agent
from tests.runs.governing import HELLO, approve, ask, in_force, state

pytestmark = pytest.mark.usefixtures("org")

ASKS = """require_approval contains "Ask." if input.action.name == "tool.call"
require_approval contains "Ask." if {
  input.action.name == "agent.call"
  input.resource.agent == "echo"
}
"""


def send(ctx: Any, host: str) -> dict[str, Any]:
    effect = Effect("send", Annotations(), host)
    said: dict[str, Any] = ctx.call_tool(
        name="send", input={}, call=lambda key: {"ok": True}, effect=effect
    )
    return said


def asked(run: Any, boss: Any, *, before: int = 99) -> None:
    """What was asked so often before is agreed to, and carried out."""
    Run.objects.filter(id=run.id).update(resumed=before)
    approve(boss, run)
    assert work_one(at=timezone.now())


def test_people_are_asked_so_often_in_one_run_and_no_more(
    scripts: Any, asker: Any, boss: Any
) -> None:
    scripts["desk"] = lambda invocation, ctx: send(ctx, f"{Run.objects.get().resumed}.example")
    make_agent("desk")
    in_force(ASKS)
    run = ask(asker, "desk", input={}).run
    asked(run, boss)
    assert state(run)[0] == "awaiting_approval"  # once more
    scripts["desk"] = lambda invocation, ctx: send(ctx, "x.example")
    asked(run, boss, before=100)
    assert (state(run)[0], (Run.objects.get().error or {})["code"]) == ("failed", "too_often")
    said = Decision.objects.order_by("at").last()
    assert said is not None
    assert (said.result, said.reasons) == ("deny", ["People were asked too often in this run."])


@pytest.mark.parametrize("call", ["tool", "agent"])
def test_what_a_child_has_noted_goes_with_its_refusal(
    scripts: Any, asker: Any, boss: Any, call: str
) -> None:
    def middle(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("look"):
            ctx.log("info", f"Looked {Run.objects.get(parent=None).resumed}")
        if call == "tool":
            return send(ctx, f"{Run.objects.get(parent=None).resumed}.example")
        text = f"{Run.objects.get(parent=None).resumed}"
        try:
            return ctx.call_agent(agent="echo", tool="echo", input={"text": text})
        except CallFailed as failed:
            ctx.log("info", "Not called")
            return {"code": failed.code}

    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        try:
            return ctx.call_agent(agent="middle", tool="middle", input=HELLO)
        except CallFailed as failed:
            return {"code": failed.code}

    scripts.update(front=front, middle=middle)
    agents = {slug: make_agent(slug) for slug in ("front", "middle", "echo")}
    grant(agents["front"], agents["middle"])
    grant(agents["middle"], agents["echo"])
    in_force(ASKS)
    run = ask(asker, "front").run
    asked(run, boss)
    assert state(run) == ("awaiting_approval", "")
    approve(boss, run)
    assert work_one(at=timezone.now())

    assert state(run) == ("succeeded", "")
    assert Run.objects.get(id=run.id).output == {"code": "too_often"}
    child = Run.objects.get(tool="middle")
    assert child.status == ("failed" if call == "tool" else "succeeded")
    assert RunLog.objects.filter(message="Looked 100").count() == 1
    assert Step.objects.filter(run=child, name="look", attempt=child.lease_no).count() == 1
    # The refusal is on record as every other: a failed step, a decision, and an agent's run denied.
    step = Step.objects.get(run=child, attempt=child.lease_no, ordinal=2)
    assert (step.status, step.error["code"]) == ("failed", "too_often")
    said = Decision.objects.filter(result="deny").get()
    assert said.reasons == ["People were asked too often in this run."]
    if call == "agent":
        denied = Run.objects.get(tool="echo", status="denied")
        assert (denied.reason, denied.decision_id, step.child_id) == (
            "too_often",
            said.id,
            denied.id,
        )
