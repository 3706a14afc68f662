"""One agent calls another: what is refused, what is on record, and what the caller learns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.runtimes.base import CallFailed, WorkFailed
from apps.runs import spine
from apps.runs.models import Run, RunLog, Step
from apps.runs.services import control
from apps.runs.services.context import call_key
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.runs.states import RunStatus
from tests.runs.factories import BY, admit, capability, child_of, grant, make_agent

pytestmark = pytest.mark.usefixtures("org")

SCHEMA = {"type": "object", "properties": {"secret_field": {}}, "required": ["secret_field"]}


def ask(agent: str = "front", **fields: Any) -> Any:
    fields.setdefault("input", {"text": "hello"})
    return invoke(Ask(agent=agent, **fields), caller=BY, at=timezone.now()).run


def call(scripts: Any, *, after: Any = None, **said: Any) -> tuple[CallFailed, Any]:
    """`front` makes one call that fails, and goes on; what it was told, and its run."""
    told: list[CallFailed] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(CallFailed) as failed:
            ctx.call_agent(**said)
        told.append(failed.value)
        return after(ctx) if after else {}

    scripts["front"] = script
    run = ask()
    assert run.status == "succeeded"
    return told[0], run


@pytest.fixture
def front(scripts: Any) -> Agent:
    return make_agent("front")


@pytest.fixture
def back(scripts: Any) -> Agent:
    scripts["back"] = lambda invocation, ctx: invocation.input
    return make_agent("back", tools=[capability("back", input_schema=SCHEMA)])


def steps_of(run: Any) -> list[Any]:
    rows = Step.objects.filter(run_id=run.id).order_by("ordinal")
    return list(rows.values_list("ordinal", "kind", "name", "status", "child_id"))


def test_a_call_of_nobody_is_a_failed_step(front: Agent, scripts: Any) -> None:
    failed, run = call(scripts, agent="nobody\0", tool="x" * 300, input={})

    assert failed.code == "not_found"
    (step,) = Step.objects.filter(run_id=run.id)
    assert (step.kind, step.status, step.child_id) == ("agent_call", "failed", None)
    assert (step.ordinal, step.name) == (1, f"nobody\ufffd.{'x' * 192}")
    assert step.error == {"code": "not_found", "message": failed.message}
    assert Run.objects.count() == 1


@pytest.mark.parametrize("said", [{"tool": "back", "input": {}}, {"tool": "none", "input": {}}])
def test_without_a_grant_a_caller_learns_nothing_of_the_schema(
    front: Agent, back: Agent, scripts: Any, said: Any
) -> None:
    failed, run = call(scripts, agent="back", **said)
    assert failed.code == "no_grant"
    assert "secret_field" not in failed.message and "back" not in failed.message
    assert steps_of(run) == [(1, "agent_call", f"back.{said['tool']}", "failed", None)]
    assert Run.objects.count() == 1

    # The control: with a grant the caller is told what is wrong with its call.
    given = grant(front, back)
    failed, run = call(scripts, agent="back", **said)
    assert failed.code == "invalid"
    assert ("secret_field" if said["tool"] == "back" else "Use one of: back") in failed.message
    assert steps_of(run) == [(1, "agent_call", f"back.{said['tool']}", "failed", None)]

    given.expires_at = timezone.now() - timedelta(seconds=1)
    given.save()
    assert call(scripts, agent="back", **said)[0].code == "no_grant"


def test_a_grant_for_other_tools_tells_nothing_of_this_one(
    front: Agent, back: Agent, scripts: Any
) -> None:
    grant(front, back, ["other"])
    assert call(scripts, agent="back", tool="back", input={})[0].code == "no_grant"


@pytest.mark.parametrize("value", ["\0", float("inf"), 2**53, object()])
def test_a_call_with_what_json_cannot_hold_is_a_failed_step(
    front: Agent, back: Agent, scripts: Any, value: Any
) -> None:
    grant(front, back)
    input = {"secret_field": value}

    def fine(ctx: Any) -> Any:
        return ctx.call_agent(agent="back", tool="back", input={"secret_field": 1})

    failed, run = call(scripts, after=fine, agent="back", tool="back", input=input)
    assert failed.code == "invalid" and "input.secret_field" in failed.message
    assert [step[3] for step in steps_of(run)] == ["failed", "succeeded"]
    assert run.output == {"secret_field": 1}


def test_a_cycle_leaves_neither_run_nor_step(front: Agent, scripts: Any) -> None:
    failed, run = call(scripts, agent="front", tool="front", input={})
    assert failed.code == "cycle"
    assert (Run.objects.count(), Step.objects.count()) == (1, 0)


def test_a_key_that_stands_for_another_call_is_a_failed_call(
    front: Agent, back: Agent, scripts: Any
) -> None:
    grant(front, back)
    said: dict[str, Any] = {"agent": "back", "tool": "back", "input": {"secret_field": 1}}

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        key = call_key(1, "back.back", said["input"])
        admit(back, principal=f"run:{invocation.run_id.hex}", key=key, body=b"another")
        with pytest.raises(CallFailed) as failed:
            ctx.call_agent(**said)
        return {"code": failed.value.code, "next": ctx.call_agent(**said)}

    scripts["front"] = script
    run = ask()
    assert run.output == {"code": "key_reused", "next": {"secret_field": 1}}
    assert [step[3] for step in steps_of(run)] == ["succeeded"]


def test_a_killed_child_is_no_running_step_of_its_parent(
    front: Agent, back: Agent, scripts: Any, owner: Any
) -> None:
    grant(front, back)

    def kill(invocation: Any, ctx: Any) -> dict[str, Any]:
        at = timezone.now()
        control.stop_runs_of_agent(
            agent_id=back.id, actor=owner.actor, at=at, reason="agent_stopped"
        )
        ctx.make_sure()
        return {}

    scripts["back"] = kill
    failed, run = call(scripts, agent="back", tool="back", input={"secret_field": 1})
    assert failed.code == "stopped"
    assert steps_of(run) == [(1, "agent_call", "back.back", "failed", run.children[0])]


def test_a_second_attempt_that_goes_another_way_leaves_nothing_open(
    front: Agent, back: Agent, scripts: Any
) -> None:
    grant(front, back)
    hold = admit(front, mode="async")
    first = spine.claim_run(at=timezone.now())
    assert first is not None
    orphan = child_of(first, back)
    Run.objects.filter(id=hold.run_id).update(lease_until=timezone.now() - timedelta(hours=1))
    assert spine.reap_runs(limit=9, at=timezone.now()) == [(hold.run_id, RunStatus.QUEUED)]
    scripts["front"] = lambda invocation, ctx: {"attempt": invocation.attempt}
    assert work_one(at=timezone.now())

    assert Run.objects.get(id=hold.run_id).output == {"attempt": 2}
    left = Run.objects.get(id=orphan.run_id)
    assert (left.status, left.reason) == ("cancelled", "parent_ended")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (KeyError("the secret"), "internal_error"),
        (WorkFailed("too_hard", "It is \0 too hard."), "too_hard"),
    ],
)
def test_a_step_whose_block_raised_has_failed(scripts: Any, failure: Any, code: str) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("fine"):
            pass
        with ctx.step("broken"):
            raise failure
        return {}

    scripts["front"] = script
    make_agent("front")
    run = ask()
    assert (run.status, run.error["code"]) == ("failed", code)
    assert [step[2:4] for step in steps_of(run)] == [("fine", "succeeded"), ("broken", "failed")]
    broken = Step.objects.get(name="broken").error
    assert broken == run.error and "secret" not in str(broken) and "\0" not in str(broken)


def test_a_step_that_time_ran_out_on_has_failed(scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("slow"):
            Run.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
            ctx.call_tool(name="POST", input={}, call=lambda key: {})
        return {}

    scripts["front"] = script
    make_agent("front")
    run = ask()
    assert (run.status, run.reason) == ("timed_out", "deadline")
    assert [step[2:4] for step in steps_of(run)] == [("slow", "failed")]
    assert Step.objects.get().error == run.error


def test_what_is_logged_while_a_tool_works_is_kept(scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        def post(key: str) -> dict[str, Any]:
            ctx.log("info", "Within.")
            return {}

        ctx.log("info", "Before.")
        ctx.call_tool(name="POST", input={}, call=post)
        ctx.log("info", "After.")
        return {}

    scripts["front"] = script
    make_agent("front")
    run = ask()
    assert run.status == "succeeded"
    lines = RunLog.objects.filter(run_id=run.id).order_by("at").values_list("message", flat=True)
    assert list(lines) == ["Before.", "Within.", "After."]
