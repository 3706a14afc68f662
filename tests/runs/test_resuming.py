"""What is looked at once more when somebody has agreed: who asked, the reasons, the policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.runtimes.base import Annotations, Effect
from apps.approvals.models import Approval
from apps.orgs.models import ApiKey, Member, Project, Role
from apps.policies.engine.combining import combine
from apps.policies.engine.types import Opinion
from apps.policies.services import deciding
from apps.runs.models import Run, Step
from apps.runs.services.context import agent_actor
from apps.runs.services.invoke import work_one
from tests.orgs.conftest import Api
from tests.runs.factories import grant, make_agent
from tests.runs.governing import approve, ask, in_force, state, tell

pytestmark = pytest.mark.usefixtures("org")

ASKS = """require_approval contains "A person agrees." if input.action.name == "{}"
require_approval contains "It is about payments." if {{
  input.action.name == "{}"
  "payments" in input.resource.project.tags
}}
"""


@pytest.fixture(params=["agent.invoke", "tool.call"])
def desk(request: Any, scripts: Any) -> str:
    """An agent whose run waits before it begins, or in its middle."""
    effect = Effect("send", Annotations(), "mail.example")
    scripts["desk"] = lambda invocation, ctx: ctx.call_tool(
        name="POST", input={}, call=lambda key: {"ok": True}, effect=effect
    )
    make_agent("desk")
    in_force(ASKS.format(request.param, request.param))
    return str(request.param)


@pytest.mark.parametrize(
    "reason", ["caller_left", "caller_barred", "key_ended", "project_archived", ""]
)
def test_who_asked_must_still_be_allowed_to(
    desk: str, asker: Any, api_as: Any, boss: Any, reason: str
) -> None:
    member: Api = api_as("member")
    assert member.post("/agents/desk/invoke", {"input": {}}).status_code == 202
    run = Run.objects.get()
    match reason:
        case "caller_left":
            Member.objects.filter(id=run.member_id).update(left_at=timezone.now())
        case "caller_barred":
            Member.objects.filter(id=run.member_id).update(role=Role.objects.get(slug="viewer"))
        case "key_ended":
            ApiKey.objects.update(revoked_at=timezone.now())
        case "project_archived":
            Project.objects.update(is_default=False, archived_at=timezone.now())
        case _:
            ApiKey.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    approve(boss, run)

    if not reason:
        assert work_one(at=timezone.now()) and state(run) == ("succeeded", "")
        return
    assert state(run) == ("denied", reason)
    assert not work_one(at=timezone.now())
    assert not Step.objects.filter(status="succeeded").exists()
    assert Approval.objects.get().status == "cancelled"


def test_a_reason_that_nobody_was_told_of_has_to_be_asked_about(
    desk: str, asker: Any, boss: Any
) -> None:
    run, same = ask(asker, "desk").run, ask(asker, "desk").run
    approve(boss, same)
    assert work_one(at=timezone.now()) and state(same) == ("succeeded", "")
    Project.objects.update(tags=["payments"])
    approve(boss, run)
    if desk == "agent.invoke":
        assert state(run) == ("denied", "approval_policy_changed")
        return
    assert work_one(at=timezone.now()) and state(run) == ("awaiting_approval", "")
    asked = Approval.objects.get(status="pending")
    assert asked.reasons == ["A person agrees.", "It is about payments."]
    approve(boss, run)
    assert work_one(at=timezone.now()) and state(run) == ("succeeded", "")


class Down:
    """An engine that has no answer for the moment."""

    def evaluate(self, texts: Any, document: Any) -> Any:
        return combine([Opinion(text, "unavailable") for text in texts], micros=0)


def test_policies_that_cannot_be_asked_for_a_moment_cost_no_approval(
    scripts: Any, asker: Any, boss: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts["desk"] = lambda invocation, ctx: {}
    make_agent("desk")
    in_force(ASKS.format("agent.invoke", "agent.invoke"))
    run = ask(asker, "desk").run
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "get_engine", Down)
        with pytest.raises(RuntimeError, match="can't be asked"):
            approve(boss, run)
    assert (state(run), Approval.objects.get().status) == (("awaiting_approval", ""), "approved")
    tell(Approval.objects.get().id)
    assert work_one(at=timezone.now()) and state(run) == ("succeeded", "")


def test_an_agents_own_key_is_looked_at_by_who_made_it(scripts: Any, asker: Any, boss: Any) -> None:
    scripts["desk"] = lambda invocation, ctx: {}
    front, desk = make_agent("front"), make_agent("desk")
    grant(front, desk)
    in_force('require_approval contains "Ask." if true\n')
    run = ask(replace(asker, actor=agent_actor(front.id, "front")), "desk").run
    Member.objects.filter(id=asker.member_id).update(role=Role.objects.get(slug="viewer"))
    approve(boss, run)
    assert state(run) == ("denied", "caller_barred")
