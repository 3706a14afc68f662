"""One road for every invocation: found, checked, admitted, carried out, settled, answered."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.runtimes.base import CallFailed, WorkFailed
from apps.common.errors import Invalid, NotFound
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.orgs.services.projects import archive_project, create_project
from apps.runs import selectors, spine, tasks
from apps.runs.errors import RunClosed, RunDenied
from apps.runs.models import Run, RunLog, Step
from apps.runs.services import context, control
from apps.runs.services.invoke import Answer, Ask, invoke, work_one
from apps.runs.states import RunStatus
from apps.tenants import sweeping
from tests.runs.factories import BY, admit, capability, grant, make_agent

pytestmark = pytest.mark.usefixtures("org")


def ask(agent: str = "echo", **fields: Any) -> Answer:
    fields.setdefault("input", {"text": "hello"})
    return invoke(Ask(agent=agent, **fields), caller=BY, at=timezone.now())


@pytest.fixture
def echo(scripts: Any) -> Any:
    """An agent that gives back what it gets."""
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo")


def test_a_sync_run_is_answered_as_it_stands_in_the_database(echo: Any) -> None:
    answer = ask()

    assert (answer.run.status, answer.run.output) == ("succeeded", {"text": "hello"})
    assert not answer.replayed
    assert answer.run == selectors.get_run(answer.run.id)


def test_an_agent_may_be_named_by_its_id(echo: Any) -> None:
    assert ask(f"agt_{echo.id.hex}").run.agent == "echo"


def test_an_async_run_waits_and_a_worker_does_it(echo: Any) -> None:
    answer = ask(mode="async")
    assert (answer.run.status, answer.run.output) == ("queued", None)
    assert answer.run == selectors.get_run(answer.run.id)

    assert work_one(at=timezone.now())
    assert not work_one(at=timezone.now())
    run = selectors.get_run(answer.run.id)
    assert (run.status, run.output, run.mode) == ("succeeded", {"text": "hello"}, "async")


def test_the_project_is_the_agents_unless_one_is_named(echo: Any, owner: Any) -> None:
    support = create_project(name="Support", actor=owner.actor, at=timezone.now())
    assert ask().run.project == "default"
    named = ask(project="support").run
    assert named.project == "support" == selectors.get_run(named.id).project
    with pytest.raises(Invalid) as refused:
        ask(project="nobodys")
    assert refused.value.by_field == {"project": ["There is no such project."]}
    archive_project(project_id=support.id, actor=owner.actor, at=timezone.now())
    with pytest.raises(Invalid) as refused:
        ask(project="support")
    assert refused.value.by_field == {"project": ["This project is archived."]}
    assert Run.objects.count() == 2


def test_what_cannot_be_asked_leaves_no_row(scripts: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    make_agent("echo", tools=[capability("echo", input_schema=schema), capability("other")])

    with pytest.raises(NotFound):
        ask("nobody")
    with pytest.raises(Invalid) as refused:
        ask()
    assert refused.value.by_field == {"tool": ["Use one of: echo, other."]}
    with pytest.raises(Invalid) as refused:
        ask(tool="echo", input={"text": 1, "more": 2})
    assert set(refused.value.by_field) == {"input.text", "input.more"}
    with pytest.raises(Invalid):
        ask(tool="other", input={"n": 2**60}, key="k")
    assert Run.objects.count() == 0


def test_a_stopped_agent_is_refused_on_record(echo: Any) -> None:
    echo.suspend(note="")
    echo.save()

    with pytest.raises(RunDenied) as refused:
        ask()
    run = Run.objects.get()
    assert (run.status, run.reason) == ("denied", "agent_suspended")
    assert refused.value.extra == {"reason": "agent_suspended", "run": f"run_{run.id.hex}"}
    assert Step.objects.count() == 0


def test_a_tool_for_agents_is_not_for_people(scripts: Any) -> None:
    make_agent("echo", tools=[capability("echo", auth="agent")])
    with pytest.raises(RunDenied) as refused:
        ask()
    assert refused.value.extra["reason"] == "auth_agent"


def test_a_key_is_answered_again_and_does_nothing_twice(scripts: Any) -> None:
    done = []
    scripts["echo"] = lambda invocation, ctx: done.append(1) or {"n": len(done)}
    make_agent("echo")

    first, again = ask(key="k"), ask(key="k")
    assert (again.run, again.replayed) == (first.run, True)
    with pytest.raises(IdempotencyKeyReused):
        ask(key="k", input={"text": "other"})
    assert (len(done), Run.objects.count()) == (1, 1)
    assert ask(key="k2").run.output == {"n": 2}


def test_a_key_whose_run_is_at_work_is_in_flight(scripts: Any) -> None:
    def twice(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(IdempotencyInFlight):
            ask(key="k")
        return {}

    scripts["echo"] = twice
    make_agent("echo")
    assert ask(key="k").run.status == "succeeded"
    assert Run.objects.count() == 1


def test_what_an_agent_could_not_do_is_a_failed_run(scripts: Any) -> None:
    def fail(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.log("warning", "this won't work", tries=1)
        raise WorkFailed("too_hard", "It is too hard.")

    scripts["echo"] = fail
    make_agent("echo")
    run = ask().run
    assert (run.status, run.output) == ("failed", None)
    assert run.error == {"code": "too_hard", "message": "It is too hard."}
    assert RunLog.objects.values_list("level", "message", "fields").get() == (
        "warning",
        "this won't work",
        {"tries": 1},
    )


def test_a_runtime_that_breaks_tells_nothing_of_itself(scripts: Any) -> None:
    scripts["echo"] = lambda invocation, ctx: {}["the secret"]
    make_agent("echo")
    assert ask().run.error == {
        "code": "internal_error",
        "message": "The agent failed unexpectedly.",
    }


@pytest.mark.parametrize("output", [{"n": "one"}, {}, {"n": 1, "x": float("nan")}, {"n": 2**60}])
def test_an_output_that_was_not_promised_is_a_failed_run(scripts: Any, output: Any) -> None:
    promise = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    scripts["echo"] = lambda invocation, ctx: output
    make_agent("echo", tools=[capability("echo", output_schema=promise)])

    run = ask().run
    assert (run.status, (run.error or {})["code"], run.output) == ("failed", "output_invalid", None)


def two(scripts: Any, script: Any) -> None:
    """`front` does what the script says; `back` gives back its input."""
    scripts["front"], scripts["back"] = script, lambda invocation, ctx: invocation.input
    grant(make_agent("front"), make_agent("back"))


def test_an_agent_calls_another_and_both_are_on_record(scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("plan", {"calls": 2}):
            tools = [f"{tool.agent}.{tool.spec.name}" for tool in ctx.tools()]
        first = ctx.call_agent(agent="back", tool="back", input={"n": 1})
        second = ctx.call_agent(agent="back", tool="back", input={"n": 2})
        return {"tools": tools, "sum": first["n"] + second["n"]}

    two(scripts, script)
    run = ask("front").run

    assert run.output == {"tools": ["back.back"], "sum": 3}
    assert run == selectors.get_run(run.id)
    children = [selectors.get_run(child) for child in run.children]
    assert [(c.parent_id, c.root_id, c.input) for c in children] == [
        (run.id, run.id, {"n": 1}),
        (run.id, run.id, {"n": 2}),
    ]
    assert {c.caller.as_json()["label"] for c in children} == {"front"}
    steps = Step.objects.filter(run_id=run.id).order_by("ordinal")
    assert list(steps.values_list("ordinal", "kind", "name", "status", "child_id")) == [
        (1, "work", "plan", "succeeded", None),
        (2, "agent_call", "back.back", "succeeded", run.children[0]),
        (3, "agent_call", "back.back", "succeeded", run.children[1]),
    ]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"agent": "nobody", "tool": "back", "input": {}}, "not_found"),
        ({"agent": "back", "tool": "none", "input": {}}, "invalid"),
        ({"agent": "front", "tool": "front", "input": {}}, "cycle"),
        ({"agent": "stranger", "tool": "stranger", "input": {}}, "no_grant"),
        ({"agent": "failing", "tool": "failing", "input": {}}, "too_hard"),
    ],
)
def test_a_call_that_fails_tells_the_caller_why(scripts: Any, call: Any, code: str) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(CallFailed) as failed:
            ctx.call_agent(**call)
        return {"code": failed.value.code, "ok": ctx.call_agent(**fine)}

    def fail(invocation: Any, ctx: Any) -> dict[str, Any]:
        raise WorkFailed("too_hard", "It is too hard.")

    fine = {"agent": "back", "tool": "back", "input": {"n": 1}}
    two(scripts, script)
    make_agent("stranger")
    scripts["failing"] = fail
    grant(selectors_agent("front"), make_agent("failing"))

    assert ask("front").run.output == {"code": code, "ok": {"n": 1}}


def selectors_agent(slug: str) -> Any:
    from apps.agents.models import Agent

    return Agent.objects.get(slug=slug)


def test_a_tool_call_has_one_key_in_every_attempt(scripts: Any) -> None:
    seen: list[str] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_tool(
            name="POST", input={"a": 1}, call=lambda key: seen.append(key) or {"ok": True}
        )

    scripts["echo"] = script
    agent = make_agent("echo")
    hold = admit(agent, mode="async")
    assert work_one(at=timezone.now())
    step = Step.objects.get()
    assert (step.kind, step.status, step.input, step.output) == (
        "tool_call",
        "succeeded",
        {"a": 1},
        {"ok": True},
    )
    assert seen[0].startswith(hold.run_id.hex)


def test_a_reaped_run_is_done_again_and_its_late_result_is_discarded(scripts: Any) -> None:
    attempts: list[tuple[int, str]] = []

    def effect(invocation: Any, ctx: Any, inside: Any) -> dict[str, Any]:
        def call(key: str) -> dict[str, Any]:
            attempts.append((invocation.attempt, key))
            inside()
            return {"attempt": invocation.attempt}

        return ctx.call_tool(name="POST", input={"a": 1}, call=call)

    def lose_it() -> None:
        Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        control.sweep_runs(timezone.now())
        scripts["echo"] = lambda invocation, ctx: effect(invocation, ctx, lambda: None)
        assert work_one(at=timezone.now())

    scripts["echo"] = lambda invocation, ctx: effect(invocation, ctx, lose_it)
    make_agent("echo")
    answer = ask()

    assert [attempt for attempt, _ in attempts] == [1, 2]
    assert len({key for _, key in attempts}) == 1
    assert (answer.run.status, answer.run.output) == ("succeeded", {"attempt": 2})
    assert answer.run.attempt == 2
    assert list(Step.objects.order_by("attempt").values_list("attempt", "status")) == [
        (1, "discarded"),
        (2, "succeeded"),
    ]


def test_a_cancelled_run_begins_no_step_and_what_it_did_is_discarded(
    scripts: Any, owner: Any
) -> None:
    went_on: list[str] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        control.cancel_run(run_id=invocation.run_id, actor=owner.actor, at=timezone.now())
        ctx.call_tool(name="POST", input={}, call=lambda key: went_on.append(key) or {})
        return {"done": True}

    scripts["echo"] = script
    make_agent("echo")
    run = ask().run
    assert (run.status, run.reason, run.output) == ("cancelled", "by_hand", None)
    assert went_on == [] and Step.objects.count() == 0
    with pytest.raises(RunClosed):
        control.cancel_run(run_id=run.id, actor=owner.actor, at=timezone.now())


def test_own_work_is_stopped_too_within_half_a_second(
    scripts: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr(context.time, "monotonic", lambda: clock[0])
    begun: list[int] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        for n in range(10):
            clock[0] += 0.2
            with ctx.step(f"part {n}"):
                begun.append(n)
            if n == 4:
                control.cancel_run(run_id=invocation.run_id, actor=owner.actor, at=timezone.now())
        return {}

    scripts["echo"] = script
    make_agent("echo")
    assert ask().run.status == "cancelled"
    assert 5 <= len(begun) <= 7


def test_a_child_that_was_stopped_alone_is_a_call_that_failed(scripts: Any) -> None:
    def stop(invocation: Any, ctx: Any) -> dict[str, Any]:
        stop_one(invocation.run_id)
        with ctx.step("never"):
            pass
        return {}

    def stop_one(run_id: Any) -> None:
        at = timezone.now()
        spine.stop_runs([run_id], status=RunStatus.CANCELLED, reason="agent_stopped", at=at)

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(CallFailed) as failed:
            ctx.call_agent(agent="back", tool="back", input={})
        return {"code": failed.value.code}

    two(scripts, script)
    scripts["back"] = stop
    assert ask("front").run.output == {"code": "stopped"}


def test_a_run_out_of_time_is_timed_out(scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        Run.objects.update(deadline_at=timezone.now() - timedelta(hours=1))
        ctx._deadline = 0
        ctx.call_tool(name="POST", input={}, call=lambda key: {})
        return {}

    scripts["echo"] = script
    make_agent("echo")
    run = ask().run
    assert (run.status, run.reason, (run.error or {})["code"]) == (
        "timed_out",
        "deadline",
        "timed_out",
    )
    assert Step.objects.count() == 0


def test_the_kill_switch_ends_every_open_run_of_an_agent(echo: Any, owner: Any) -> None:
    running, waiting = admit(echo).run_id, admit(echo, mode="async").run_id
    other = admit(make_agent("other")).run_id

    stopped = control.stop_runs_of_agent(
        agent_id=echo.id, actor=owner.actor, at=timezone.now(), reason="agent_stopped"
    )
    assert stopped == 2
    states = dict(Run.objects.values_list("id", "status"))
    assert states == {running: "cancelled", waiting: "cancelled", other: "running"}


def test_keys_are_forgotten_after_a_day_and_runs_are_not(echo: Any, rewrite: Any) -> None:
    old = ask(key="old").run.id
    rewrite(Run.objects.filter(id=old), created_at=timezone.now() - timedelta(hours=25))
    new = ask(key="new").run.id

    control.forget_keys(timezone.now())
    assert Run.objects.get(id=old).idempotency_key is None
    assert Run.objects.get(id=new).idempotency_key == "new"
    assert not ask(key="old").replayed and ask(key="new").replayed


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to wake workers, by a sweeper that has woken nobody yet."""
    sent: list[str] = []
    monkeypatch.setattr(control, "enqueue", sent.append)
    monkeypatch.setattr(control, "_woken", {})
    return sent


def test_a_worker_is_woken_for_what_waits(echo: Any, woken: list[str]) -> None:
    admit(echo, mode="async")
    old = admit(echo, mode="async").run_id
    Run.objects.filter(id=old).update(created_at=timezone.now() - timedelta(minutes=1))

    control.sweep_runs(timezone.now())
    assert woken == ["runs.work"]
    echo.suspend(note="")
    echo.save()
    control.sweep_runs(timezone.now() + timedelta(minutes=1))
    assert woken == ["runs.work"]  # a worker would find nothing to do


def test_however_much_waits_few_are_woken_and_not_again_at_once(
    echo: Any, woken: list[str]
) -> None:
    at = timezone.now()
    for _ in range(6):
        admit(echo, mode="async")
    Run.objects.update(created_at=at - timedelta(minutes=1))

    for seconds in (0, 5, 10):
        control.sweep_runs(at + timedelta(seconds=seconds))
    assert len(woken) == 4
    control.sweep_runs(at + timedelta(seconds=15))
    assert len(woken) == 8


def test_what_was_reaped_wakes_a_worker_at_once(echo: Any, woken: list[str]) -> None:
    at = timezone.now()
    waiting, lost = admit(echo, mode="async").run_id, admit(echo).run_id
    Run.objects.filter(id=waiting).update(created_at=at - timedelta(minutes=1))
    control.sweep_runs(at)
    assert len(woken) == 1

    Run.objects.filter(id=lost).update(lease_until=timezone.now() - timedelta(seconds=1))
    control.sweep_runs(at)
    assert len(woken) == 2
    assert Run.objects.get(id=lost).status == "queued"


def test_nobody_is_reaped_before_the_living_could_say_so(
    echo: Any, woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage of the database every lease has run out, the ones of the living too."""
    run_id = admit(echo).run_id
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    seen = [spine.LEASE - timedelta(seconds=1), spine.LEASE]
    monkeypatch.setattr(sweeping, "in_sight_for", lambda: seen.pop(0))

    control.sweep_runs(timezone.now())
    assert (Run.objects.get(id=run_id).status, woken) == ("running", [])
    control.sweep_runs(timezone.now())
    assert Run.objects.get(id=run_id).status == "queued"


def test_a_worker_that_is_woken_carries_out_all_that_waits(
    echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        admit(echo, mode="async")

    tasks.work.run()
    assert set(Run.objects.values_list("status", flat=True)) == {"succeeded"}

    # One that has worked long enough for others to have a turn sends for another.
    sent: list[str] = []
    monkeypatch.setattr(tasks, "enqueue", sent.append)
    monkeypatch.setattr(tasks, "TURN", 0.0)
    for _ in range(2):
        admit(echo, mode="async")
    tasks.work.run()
    assert (Run.objects.filter(status="queued").count(), sent) == (1, ["runs.work"])


def test_an_invocation_takes_two_round_trips(echo: Any, django_assert_num_queries: Any) -> None:
    ask()
    with django_assert_num_queries(2):
        ask()
