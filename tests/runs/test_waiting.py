"""Runs that wait for a person's word: before they begin, and in their middle."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Manifest
from apps.agents.runtimes.base import Annotations, Effect, WorkFailed
from apps.approvals.errors import OwnRequest
from apps.approvals.models import Approval
from apps.approvals.services import voting
from apps.notify.models import Notice
from apps.orgs.models import Member
from apps.policies.models import Decision
from apps.runs import spine
from apps.runs.models import KnownHost, Run, Step
from apps.runs.services import control
from apps.runs.services.context import agent_actor
from apps.runs.services.invoke import work_one
from tests.orgs.conftest import Api
from tests.runs.factories import admit, grant, make_agent
from tests.runs.governing import HELLO, approve, ask, count_up, in_force, state, tell

pytestmark = pytest.mark.usefixtures("org")

INVOKES = 'require_approval contains "A person agrees." if input.action.name == "agent.invoke"\n'
CALLS = 'require_approval contains "A person agrees." if input.action.name == "agent.call"\n'
NEW_HOSTS = """require_approval contains sprintf("%s is new.", [input.context.host]) if {
  input.action.name == "tool.call"
  input.context.host_is_new
}
"""
WORSE = Annotations()
READS = Annotations(read_only=True, destructive=False)


@pytest.fixture
def effects() -> list[str]:
    """Every time that something was really done, by its idempotency key."""
    return []


@pytest.fixture
def echo(scripts: Any, effects: list[str]) -> Agent:
    scripts["echo"] = lambda invocation, ctx: effects.append("echo") or invocation.input
    return make_agent("echo")


def test_a_run_waits_goes_on_by_itself_and_is_done_once(
    echo: Agent, asker: Any, boss: Any, effects: list[str]
) -> None:
    in_force(INVOKES)
    answer = ask(asker, key="k")
    run = answer.run
    assert (run.status, run.attempt, run.started_at) == ("awaiting_approval", 0, None)
    approval = Approval.objects.get()
    assert (run.approval_id, approval.subject_id, approval.reasons) == (
        approval.id,
        run.id,
        ["A person agrees."],
    )
    assert approval.payload["input"] == HELLO and approval.payload["agent"] == "echo"
    assert approval.human_id == asker.member_id
    assert not work_one(at=timezone.now()) and effects == []
    again = ask(asker, key="k")
    assert (again.run.id, again.replayed, Approval.objects.count()) == (run.id, True, 1)

    with pytest.raises(OwnRequest):
        voting.approve(approval_id=approval.id, voter=asker, comment="", at=timezone.now())
    assert state(run) == ("awaiting_approval", "")
    approve(boss, run)
    assert state(run) == ("queued", "")
    assert Approval.objects.get().status == "consumed"
    tell(approval.id)  # told twice, nothing happens twice
    assert work_one(at=timezone.now()) and not work_one(at=timezone.now())
    assert (state(run), effects) == (("succeeded", ""), ["echo"])
    assert list(Decision.objects.values_list("result", flat=True)) == ["require_approval"] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("input", "approval_payload_changed"),
        ("policy", "approval_policy_changed"),
        ("manifest", "approval_manifest_changed"),
        ("suspended", "agent_suspended"),
        ("denied", "policy"),
    ],
)
def test_what_has_changed_since_it_was_asked_for_is_refused(
    echo: Agent, asker: Any, boss: Any, effects: list[str], change: str, reason: str
) -> None:
    in_force(INVOKES)
    run = ask(asker).run
    match change:
        case "input":
            Run.objects.filter(id=run.id).update(input={"text": "hellp"})
        case "policy":
            count_up()
        case "manifest":
            echo.manifest = Manifest.objects.create(
                agent=echo, version=2, document={}, digest="0" * 64, created_at=timezone.now()
            )
            echo.save(update_fields=["manifest"])
        case "suspended":
            echo.suspend(note="")
            echo.save()
        case "denied":
            in_force('deny contains "Not any more." if true\n')
    approve(boss, run)

    assert state(run) == ("denied", reason)
    assert not work_one(at=timezone.now()) and effects == [] and Step.objects.count() == 0
    assert Approval.objects.get().status == "cancelled"  # nothing has used it, and nothing will


def test_who_asked_must_still_be_there_and_may(
    scripts: Any, echo: Agent, asker: Any, boss: Any, effects: list[str]
) -> None:
    front = make_agent("front")
    given = grant(front, echo)
    by_agent = replace(asker, actor=agent_actor(front.id, "front"), agent_id=front.id)
    in_force('require_approval contains "A person agrees." if true\n')
    revoked, left = ask(by_agent).run, ask(asker).run
    assert Approval.objects.get(subject_id=revoked.id).payload["action"] == "agent.call"

    given.active, given.revoked_at = False, timezone.now()
    given.save()
    approve(boss, revoked)
    assert state(revoked) == ("denied", "no_grant")
    Member.objects.filter(id=asker.member_id).update(left_at=timezone.now())
    approve(boss, left)
    assert state(left) == ("denied", "caller_left")
    assert not work_one(at=timezone.now()) and effects == []


def test_a_rejection_and_an_end_of_time_end_the_run(echo: Agent, asker: Any, boss: Any) -> None:
    in_force(INVOKES)
    rejected, late, cancelled, killed = (ask(asker).run for _ in range(4))

    first = Approval.objects.get(subject_id=rejected.id)
    voting.reject(approval_id=first.id, voter=boss, comment="No.", at=timezone.now())
    tell(first.id)
    assert state(rejected) == ("denied", "approval_rejected")
    second = Approval.objects.get(subject_id=late.id)
    second.expire(at=timezone.now())
    second.tell_at = timezone.now()
    second.save()
    tell(second.id)
    assert state(late) == ("denied", "approval_expired")

    control.cancel_run(run_id=cancelled.id, actor=asker.actor, at=timezone.now())
    assert state(cancelled) == ("cancelled", "by_hand")
    assert Approval.objects.get(subject_id=cancelled.id).status == "cancelled"
    tell(Approval.objects.get(subject_id=cancelled.id).id)
    assert state(cancelled) == ("cancelled", "by_hand")
    control.stop_runs_of_agent(
        agent_id=echo.id, actor=boss.actor, at=timezone.now(), reason="agent_stopped"
    )
    assert state(killed) == ("cancelled", "agent_stopped")
    assert Approval.objects.get(subject_id=killed.id).status == "cancelled"


def test_the_api_answers_202_with_the_approval(echo: Agent, api: Api) -> None:
    in_force(INVOKES)
    answer = api.post("/agents/echo/invoke", {"input": HELLO})
    found = answer.json()
    assert (answer.status_code, found["status"]) == (202, "awaiting_approval")
    assert found["approval_id"] == f"apr_{Approval.objects.get().id.hex}"
    assert found["decision_id"] == f"dec_{Decision.objects.get().id.hex}"
    assert api.get("/runs?status=awaiting_approval").json()["results"][0]["id"] == found["id"]


# In the middle of a run -------------------------------------------------------------------------


def calling(effects: list[str], *, then: Any = None, **effect: Any) -> Any:
    """A script that does something of its own, then something that may need a person's word."""
    asked = Effect(**{"tool": "send", "annotations": WORSE, "host": "mail.example", **effect})

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        before = ctx.call_tool(
            name="first", input={}, call=lambda key: effects.append(f"first {key}") or {"n": 1}
        )
        after = ctx.call_tool(
            name="POST",
            input={"to": "ada"},
            call=lambda key: effects.append(f"second {key}") or {"ok": True},
            effect=asked,
        )
        if then:
            then(ctx)
        return {"before": before, "after": after}

    return script


def test_a_tool_call_to_a_new_host_waits_and_what_was_done_is_not_done_twice(
    scripts: Any, asker: Any, boss: Any, effects: list[str]
) -> None:
    scripts["desk"] = calling(effects)
    make_agent("desk")
    in_force(NEW_HOSTS)

    run = ask(asker, "desk").run
    assert (run.status, run.attempt) == ("awaiting_approval", 1)
    assert len(effects) == 1
    row = Run.objects.get()
    assert (row.lease_until, row.deadline_at, row.resumed) == (None, None, 1)
    approval = Approval.objects.get()
    assert approval.payload["host"] == "mail.example" and approval.payload["input"] == {"to": "ada"}
    assert approval.reasons == ["mail.example is new."]
    assert Decision.objects.get(action="tool.call").ordinal == 2
    assert spine.reap_runs(limit=10, at=timezone.now() + timedelta(days=1)) == []

    approve(boss, run)
    assert Approval.objects.get().status == "approved"
    assert work_one(at=timezone.now())
    done = Run.objects.get()
    assert (done.status, done.output) == ("succeeded", {"before": {"n": 1}, "after": {"ok": True}})
    assert [effect.split()[0] for effect in effects] == ["first", "second"]
    assert Approval.objects.get().status == "consumed"
    assert list(KnownHost.objects.values_list("host", flat=True)) == ["mail.example"]
    # The host is known from now on, and what only reads there isn't asked about at all.
    assert ask(asker, "desk").run.status == "succeeded"
    scripts["desk"] = calling(effects, annotations=READS)
    decided = Decision.objects.count()
    assert ask(asker, "desk").run.status == "succeeded"
    assert Decision.objects.count() == decided + 1


def test_a_new_host_is_learnt_by_no_call_that_nobody_was_asked_about(
    scripts: Any, asker: Any, boss: Any, effects: list[str]
) -> None:
    make_agent("desk")
    in_force(NEW_HOSTS)
    scripts["desk"] = calling(effects, annotations=READS)

    run = ask(asker, "desk").run
    assert (run.status, len(effects), KnownHost.objects.count()) == ("awaiting_approval", 1, 0)
    assert Approval.objects.get().reasons == ["mail.example is new."]
    approve(boss, run)
    assert work_one(at=timezone.now())
    assert (state(run)[0], KnownHost.objects.count()) == ("succeeded", 1)
    # The control: now that a person has let it be known, what changes something there isn't news.
    scripts["desk"] = calling(effects)
    assert ask(asker, "desk").run.status == "succeeded"


def test_who_comes_to_another_call_than_was_agreed_to_has_to_ask_again(
    scripts: Any, asker: Any, boss: Any, effects: list[str]
) -> None:
    make_agent("desk")
    in_force(NEW_HOSTS)
    scripts["desk"] = calling(effects)
    run = ask(asker, "desk").run
    approve(boss, run)
    scripts["desk"] = calling(effects, host="other.example")
    assert work_one(at=timezone.now())

    assert state(run) == ("awaiting_approval", "")
    assert len(effects) == 1
    old, new = Approval.objects.order_by("created_at")
    assert (old.status, new.status) == ("cancelled", "pending")
    assert not Notice.objects.filter(title__startswith="Taken back").exists()
    tell(old.id)
    assert state(run) == ("awaiting_approval", "")
    approve(boss, run)
    assert work_one(at=timezone.now())
    assert (state(run), len(effects)) == (("succeeded", ""), 2)


def test_who_agreed_to_a_run_is_not_asked_again_for_all_that_it_does(
    scripts: Any, asker: Any, boss: Any, effects: list[str]
) -> None:
    def post(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_tool(
            name="POST",
            input=invocation.input,
            call=lambda key: effects.append(key) or {"ok": True},
            effect=Effect("desk", WORSE, "mail.example", is_all=True),
        )

    scripts["desk"] = post
    make_agent("desk")
    in_force('require_approval contains "It reaches outside." if true\n')
    run = ask(asker, "desk").run
    assert (run.status, run.attempt) == ("awaiting_approval", 0)
    approve(boss, run)
    assert work_one(at=timezone.now())
    assert (state(run), len(effects)) == (("succeeded", ""), 1)
    assert Decision.objects.filter(action="tool.call").count() == 1

    in_force(NEW_HOSTS)
    scripts["desk"] = calling(effects, host="other.example", is_all=True)
    again = ask(asker, "desk").run
    approve(boss, again)
    assert work_one(at=timezone.now())  # another reason, which nobody has agreed to
    assert state(again) == ("awaiting_approval", "")


def test_a_refused_tool_call_is_a_failed_step_with_its_decision(
    scripts: Any, asker: Any, effects: list[str]
) -> None:
    scripts["desk"] = calling(effects)
    make_agent("desk")
    in_force('deny contains "Nothing leaves." if input.action.name == "tool.call"\n')

    run = ask(asker, "desk").run
    assert (run.status, (run.error or {})["code"], len(effects)) == ("failed", "policy", 1)
    step = Step.objects.get(ordinal=2)
    assert (step.status, "Nothing leaves." in step.error["message"]) == ("failed", True)
    decision = Decision.objects.get(ordinal=2)
    assert (decision.result, decision.run_id, decision.tool) == ("deny", run.id, "send")


def test_a_call_of_another_agent_waits_from_the_root_on(
    scripts: Any, echo: Agent, asker: Any, boss: Any, effects: list[str]
) -> None:
    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_agent(agent="middle", tool="middle", input={})

    def middle(invocation: Any, ctx: Any) -> dict[str, Any]:
        effects.append("middle begins")
        return ctx.call_agent(agent="echo", tool="echo", input=HELLO)

    scripts.update(front=front, middle=middle)
    first, second = make_agent("front"), make_agent("middle")
    grant(first, second)
    grant(second, echo)
    in_force(CALLS)

    run = ask(asker, "front").run
    assert run.status == "awaiting_approval"
    assert effects == []  # the first call waits already
    approve(boss, run)
    assert work_one(at=timezone.now())
    assert (state(run)[0], effects) == ("awaiting_approval", ["middle begins"])
    statuses = dict(Run.objects.values_list("tool", "status"))
    assert statuses == {"front": "awaiting_approval", "middle": "awaiting_approval"}
    approve(boss, run)
    assert work_one(at=timezone.now())
    assert state(run) == ("succeeded", "")
    assert effects == ["middle begins", "middle begins", "echo"]
    assert Run.objects.count() == 3
    assert set(Approval.objects.values_list("status", flat=True)) == {"consumed"}


def test_what_a_child_has_done_is_known_however_long_its_run_waits(
    scripts: Any, echo: Agent, asker: Any, boss: Any, effects: list[str], rewrite: Any
) -> None:
    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.call_agent(agent="echo", tool="echo", input=HELLO)
        return calling([])(invocation, ctx)

    scripts["front"] = front
    grant(make_agent("front"), echo)
    in_force(NEW_HOSTS)
    run = ask(asker, "front", key="mine").run
    assert (run.status, effects) == ("awaiting_approval", ["echo"])
    rewrite(Run.objects.all(), created_at=timezone.now() - control.KEY_LIFE * 2)
    control.forget_keys(timezone.now())
    approve(boss, run)
    assert work_one(at=timezone.now())

    assert (state(run), effects) == (("succeeded", ""), ["echo"])
    assert Run.objects.filter(tool="echo").count() == 1
    assert Run.objects.filter(idempotency_key=None).count() == 0
    control.forget_keys(timezone.now())  # now nothing above it can be carried out again
    assert Run.objects.filter(idempotency_key=None).count() == 2


def test_a_rejected_call_ends_the_whole_tree(
    scripts: Any, echo: Agent, asker: Any, boss: Any
) -> None:
    def front(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_agent(agent="desk", tool="desk", input={})

    scripts.update(front=front, desk=calling([]))
    grant(make_agent("front"), make_agent("desk"))
    in_force(NEW_HOSTS)
    run = ask(asker, "front").run
    approval = Approval.objects.get()
    voting.reject(approval_id=approval.id, voter=boss, comment="", at=timezone.now())
    tell(approval.id)
    assert state(run) == ("denied", "approval_rejected")
    child = Run.objects.get(tool="desk")
    assert (child.status, child.reason) == ("cancelled", "parent_ended")


def test_a_run_that_waited_has_all_its_tries(asker: Any, boss: Any, scripts: Any) -> None:
    scripts["desk"] = calling([])
    make_agent("desk")
    in_force(NEW_HOSTS)
    run = ask(asker, "desk").run
    approve(boss, run)
    for _ in range(2):
        hold = spine.claim_run(at=timezone.now())
        assert hold is not None
        Run.objects.update(lease_until=timezone.now() - timedelta(hours=1))
        assert spine.reap_runs(limit=9, at=timezone.now()) == [(run.id, "queued")]
    spine.claim_run(at=timezone.now())
    Run.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    assert spine.reap_runs(limit=9, at=timezone.now()) == [(run.id, "failed")]


def test_an_agent_that_is_stopped_leaves_nothing_that_waits(
    asker: Any, echo: Agent, scripts: Any
) -> None:
    def caught(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(WorkFailed):
            ctx.call_agent(agent="nobody", tool="x", input={})
        return {}

    scripts["echo"] = caught
    in_force(INVOKES)
    waiting = ask(asker).run
    assert admit(echo).outcome == "admitted"
    assert spine.stop_runs([waiting.id], status="cancelled", reason="x", at=timezone.now()) == {  # type: ignore[arg-type]
        waiting.id
    }


def test_by_the_api_somebody_else_agrees_and_the_run_goes_on(
    echo: Agent, api: Api, api_as: Any, effects: list[str]
) -> None:
    in_force(INVOKES)
    run = api_as("member").post("/agents/echo/invoke", {"input": HELLO}).json()

    approved = api.post(f"/approvals/{run['approval_id']}/approve", {"comment": "Fine."})
    assert (approved.status_code, approved.json()["status"]) == (200, "approved")
    tell(Approval.objects.get().id)
    assert work_one(at=timezone.now())
    done = api.get(f"/runs/{run['id']}").json()
    assert (done["status"], done["output"], effects) == ("succeeded", HELLO, ["echo"])
    assert api.get(f"/approvals/{run['approval_id']}").json()["status"] == "consumed"
