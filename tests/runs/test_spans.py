"""Every run is a trace: which spans there are, below which, and what they say and never say."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from opentelemetry.trace import SpanKind, StatusCode
from pytest_httpserver import HTTPServer

from apps.agents.runtimes import spans
from apps.agents.runtimes.base import Invocation, Stopped, WorkFailed
from apps.agents.runtimes.llm import wire
from apps.agents.runtimes.signing import secret_ref
from apps.common import telemetry, tracecontext
from apps.common.ids import public_id
from apps.runs import spine
from apps.runs.models import Run, Step
from apps.runs.services import control
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.trust.secrets import get_secret_store
from tests.agents.factories import let_call, make_desk
from tests.agents.factories import make_agent as register
from tests.agents.llm.conftest import *  # noqa: F403
from tests.agents.llm.conftest import KEY, MODEL, price, provide, says, wants
from tests.agents.llm.test_wire import completion
from tests.orgs.conftest import Api
from tests.runs.factories import LONG_AGO, grant, make_agent, some_id
from tests.spans import Exported, exported, is_below

__all__ = ["exported"]

STORY = "The harbour will close. Ships will call at the new terminal. Gulls nest on the roofs."
QUESTION = {"input": {"question": f"What is 12 * (3 + 4), and summarize this: {STORY}"}}
INVOKE = "POST v1/agents/<str:agent>/invoke"


def ask(owner: Any, agent: str, mode: str = "sync", **input: Any) -> Any:
    wanted = Ask(agent=agent, input=input, mode=mode)
    return invoke(wanted, caller=owner, at=timezone.now()).run


def said(span: Any) -> dict[str, Any]:
    return dict(span.attributes)


def of_agent(run: Any, org: Any, **more: Any) -> dict[str, Any]:
    """What the span of a run says."""
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "mandate",
        "gen_ai.agent.id": public_id("agt", run.agent_id),
        "gen_ai.agent.name": run.agent if isinstance(run.agent, str) else run.agent.slug,
        "gen_ai.agent.version": "1",
        "mandate.org_id": str(org.id),
        "mandate.run_id": public_id("run", run.id),
        "mandate.attempt": 1,
        "mandate.tool": run.tool,
        "mandate.status": "succeeded",
        "mandate.cost_micros": 0,
        **more,
    }


def test_a_run_and_its_children_are_one_tree(
    exported: Exported, api: Api, owner: Any, org: Any
) -> None:
    concierge = register(owner, name="Concierge", config={"skill": "concierge"})
    for skill in ("calculator", "summarizer"):
        let_call(owner, concierge, register(owner, name=skill.title(), config={"skill": skill}))

    answer = api.post("/agents/concierge/invoke", {**QUESTION, "session_id": "ticket-1"})

    assert answer.json()["status"] == "succeeded"
    calls = [
        [f"execute_tool {skill}.{skill}", [f"invoke_agent {skill}"]]
        for skill in ("calculator", "summarizer")
    ]
    assert exported.tree() == [[INVOKE, ["invoke_agent concierge", *calls]]]
    assert {span.kind for span in exported.spans[1:]} == {SpanKind.INTERNAL}
    assert {span.status.status_code for span in exported.spans} == {StatusCode.UNSET}
    for run in Run.objects.select_related("agent"):
        told = of_agent(run, org, **{"gen_ai.conversation.id": "ticket-1"})
        assert said(exported.named(f"invoke_agent {run.agent.slug}")) == told
    step = Step.objects.get(name="calculator.calculator")
    assert said(exported.named("execute_tool calculator.calculator")) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "calculator.calculator",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": public_id("stp", step.id),
    }


def test_a_request_to_a_model_is_a_chat(
    exported: Exported, owner: Any, org: Any, make_llm: Any, play: Any
) -> None:
    parameters = {"temperature": 0.5, "top_p": 1, "max_tokens": 900, "seed": 7}
    let_call(owner, make_llm(parameters=parameters), register(owner))
    answers = iter([says("", wants("echo__echo", text="a")), says("b", tokens=(7, 3))])
    play(lambda messages, info: next(answers))

    run = ask(owner, "assistant", text="hello")

    chat, call = [f"chat {MODEL}"], ["execute_tool echo.echo", ["invoke_agent echo"]]
    assert exported.tree() == [["invoke_agent assistant", chat, call, chat]]
    [root] = exported.below(None)
    tokens = {"gen_ai.usage.input_tokens": 107, "gen_ai.usage.output_tokens": 23}
    whole = {**tokens, "mandate.cost_micros": run.cost_micros}
    assert said(root) == of_agent(run, org, **whole)
    first, _, last = exported.below(root)
    assert (first.kind, first.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
    steps = Step.objects.filter(kind="tool_call").order_by("ordinal")
    assert said(first) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        **{f"gen_ai.request.{name}": value for name, value in parameters.items()},
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "server.address": "93.184.215.14",
        "server.port": 443,
        "mandate.step_id": public_id("stp", steps[0].id),
    }
    assert said(last) == said(first) | {
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "mandate.step_id": public_id("stp", steps[1].id),
    }


def fails(*path: Any) -> list[tuple[Any, Any]]:
    return [(span.status.status_code, span.attributes.get("error.type")) for span in path]


def test_a_failure_is_its_code_wherever_it_passes(
    exported: Exported, scripts: Any, org: Any, owner: Any
) -> None:
    def front(invocation: Any, ctx: Any) -> Any:
        return ctx.call_agent(agent="back", tool="back", input={})

    def back(invocation: Any, ctx: Any) -> Any:
        raise WorkFailed("too_hard", "canary-message")

    scripts.update(front=front, back=back)
    grant(make_agent("front"), make_agent("back"))
    run = ask(owner, "front")

    assert run.status == "failed"
    assert fails(*exported.spans) == [(StatusCode.ERROR, "too_hard")] * 3
    root = exported.spans[0]
    wrong = {"mandate.status": "failed", "error.type": "too_hard"}
    assert said(root) == of_agent(run, org, **wrong)
    assert not any(span.events for span in exported.spans)
    assert {span.status.description for span in exported.spans} == {None}


def test_what_breaks_is_an_internal_error(exported: Exported, scripts: Any, owner: Any) -> None:
    def trip(key: str) -> Any:
        raise KeyError("canary")

    scripts["front"] = lambda invocation, ctx: ctx.call_tool(name="turn", input={}, call=trip)
    make_agent("front")
    ask(owner, "front")
    assert exported.tree() == [["invoke_agent front", ["execute_tool turn"]]]
    assert fails(*exported.spans) == [(StatusCode.ERROR, "internal_error")] * 2
    assert "canary" not in exported.text()


def test_a_call_without_a_grant_is_a_failed_tool(
    exported: Exported, scripts: Any, owner: Any
) -> None:
    def front(invocation: Any, ctx: Any) -> Any:
        return ctx.call_agent(agent="back", tool="back", input={})

    scripts["front"] = front
    make_agent("front")
    make_agent("back")
    ask(owner, "front")
    call = exported.named("execute_tool back.back")
    assert fails(call) == [(StatusCode.ERROR, "no_grant")]
    assert said(call)["gen_ai.tool.call.id"] == public_id("stp", Step.objects.get().id)
    assert exported.below(call) == []


def test_a_run_that_is_taken_away_is_lost(exported: Exported, scripts: Any, owner: Any) -> None:
    def front(invocation: Any, ctx: Any) -> Any:
        control.cancel_run(run_id=invocation.run_id, actor=owner.actor, at=timezone.now())
        return {}

    def stopped(invocation: Any, ctx: Any) -> Any:
        raise Stopped

    scripts.update(front=front, back=stopped)
    make_agent("front")
    make_agent("back")
    ask(owner, "front")
    ask(owner, "back")
    assert fails(*exported.spans) == [(StatusCode.ERROR, "stopped")] * 2
    assert said(exported.spans[0])["mandate.status"] == "lost"


def test_an_http_agent_is_called_below_the_span_of_its_tool(
    exported: Exported, owner: Any, org: Any, loopback: None, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/canary-path/agent").respond_with_json({"where": "Oslo"})
    url = httpserver.url_for("/canary-path/agent?canary=1")
    desk = make_desk(owner, config={"url": url, "headers": {"x-region": "canary-header"}})
    secret = get_secret_store().get(secret_ref(desk.id)).decode()

    run = ask(owner, "order-desk", order="canary-input")

    assert run.status == "succeeded"
    assert exported.tree() == [["invoke_agent order-desk", ["execute_tool invoke"]]]
    agent, tool = exported.spans
    assert (agent.kind, tool.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert said(tool)["gen_ai.tool.type"] == "extension"
    [(request, _)] = httpserver.log
    told = tracecontext.read_traceparent(request.headers["traceparent"])
    assert told == telemetry.context_of(tool)
    text = exported.text()
    assert "canary" not in text and secret not in text
    assert request.headers["webhook-signature"] not in text


def test_a_request_to_a_model_carries_its_chat(
    exported: Exported, owner: Any, loopback: None, waits: Any, httpserver: HTTPServer
) -> None:
    """By the provider's own client, with one try that failed."""
    price(owner)
    provide(owner, base_url=httpserver.url_for("/v1").rstrip("/"))
    register(owner, name="Assistant", runtime="llm", config={"provider": "models", "model": MODEL})
    for answer in ({"response_data": KEY, "status": 503}, None):
        on = httpserver.expect_ordered_request("/v1/chat/completions", method="POST")
        if answer:
            on.respond_with_data(**answer)
        else:
            on.respond_with_json(completion("canary-answer"))

    assert ask(owner, "assistant", text="canary-input").status == "succeeded"

    assert exported.tree() == [["invoke_agent assistant", [f"chat {MODEL}"]]]
    chat = exported.named(f"chat {MODEL}")
    sent = [request.headers["traceparent"] for request, _ in httpserver.log]
    assert sent == [telemetry.context_of(chat).traceparent] * 2
    assert said(chat)["server.port"] == httpserver.port
    assert said(chat)["gen_ai.response.finish_reasons"] == ("stop",)
    assert fails(chat) == [(StatusCode.UNSET, None)]
    assert tracecontext.outgoing_headers() == {}
    assert "canary" not in exported.text() and KEY not in exported.text()


def test_a_model_that_cannot_answer_is_a_failed_chat(
    exported: Exported, owner: Any, make_llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: Any, **__: Any) -> Any:
        raise wire.Unavailable("model_throttled", "canary")

    make_llm()
    monkeypatch.setattr(wire, "send", send)
    ask(owner, "assistant", text="hello")
    assert fails(*exported.spans) == [(StatusCode.ERROR, "model_throttled")] * 2
    assert "gen_ai.usage.input_tokens" not in said(exported.named(f"chat {MODEL}"))
    assert "canary" not in exported.text()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_worker_goes_on_with_the_trace_of_who_asked(
    exported: Exported, api: Api, scripts: Any, owner: Any, org: Any, accept: str
) -> None:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    make_agent("echo")
    caller = f"00-{'4b' * 16}-{'0f' * 8}-01"
    api.post(
        "/agents/echo/invoke",
        {"input": {"text": "hello"}, "mode": "async"},
        Accept=accept,
        traceparent=caller,
    )
    other = ask(owner, "echo", mode="async")

    assert work_one(at=timezone.now()) and work_one(at=timezone.now())

    request, first, second = exported.spans
    assert (request.name, first.name, second.name) == (INVOKE, *["invoke_agent echo"] * 2)
    assert is_below(first, request)
    assert telemetry.context_of(first).trace_id == "4b" * 16
    # Nobody's request asked for the other one: a trace of its own.
    assert second.parent is None
    assert said(second)["mandate.run_id"] == public_id("run", other.id)
    assert telemetry.context_of(second).trace_id != "4b" * 16


def test_another_attempt_is_in_the_same_trace(
    exported: Exported, api: Api, scripts: Any, org: Any
) -> None:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    make_agent("echo")
    api.post("/agents/echo/invoke", {"input": {}, "mode": "async"})
    assert spine.claim_run(at=timezone.now()) is not None
    Run.objects.update(lease_until=timezone.now() - LONG_AGO)
    assert len(spine.reap_runs(limit=9, at=timezone.now())) == 1

    assert work_one(at=timezone.now())
    assert exported.tree() == [[INVOKE, ["invoke_agent echo"]]]
    assert said(exported.spans[1])["mandate.attempt"] == 2


def test_nothing_that_was_said_leaves_with_a_span(
    exported: Exported, owner: Any, make_llm: Any, play: Any
) -> None:
    """The control: the same words are in the run and its steps."""
    agent = make_llm(instructions="canary-instructions")
    let_call(owner, agent, register(owner, purpose="canary-purpose"))
    answers = iter([says("canary-thought", wants("echo__echo", text="canary-tool-input")), None])

    def model(messages: Any, info: Any) -> Any:
        answer = next(answers)
        if answer is None:
            raise ValueError("canary-exception")
        return answer

    play(model)
    run = ask(owner, "assistant", text="canary-input")

    assert run.error["code"] == "model_answer_invalid"
    kept = str(list(Step.objects.values_list("input", "output"))) + str(run.input)
    assert all(word in kept for word in ("canary-input", "canary-thought", "canary-tool-input"))
    text = exported.text()
    assert f"chat {MODEL}" in text and "execute_tool echo.echo" in text
    assert "canary" not in text and KEY not in text


def test_a_conversation_is_named(exported: Exported, org: Any) -> None:
    made = Invocation(some_id(), 1, some_id(), "echo", "echo", {}, {})
    with spans.invoke_agent(made, version=3, is_remote=False, conversation="c-1"):
        pass
    [span] = exported.spans
    assert said(span)["gen_ai.conversation.id"] == "c-1"
    assert said(span)["gen_ai.agent.version"] == "3"


class Untouchable:
    """Fails whoever reads anything of it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read")

    def __str__(self) -> str:
        raise AssertionError("it was made a text")


def test_where_nothing_is_exported_nothing_is_made(
    scripts: Any, org: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a span was made")

    assert telemetry.tracer is None
    monkeypatch.setattr(telemetry, "span", never)
    nothing: Any = Untouchable()
    for opening in (
        spans.invoke_agent(nothing, version=nothing, is_remote=nothing, parent=nothing),
        spans.execute_tool(nothing, nothing),
        spans.chat(nothing, nothing, nothing),
    ):
        assert opening is spans.OFF
    spans.answered(nothing)

    scripts["echo"] = lambda invocation, ctx: ctx.call_tool(
        name="turn", input={}, call=lambda key: tracecontext.outgoing_headers()
    )
    make_agent("echo")
    assert ask(owner, "echo").output == {}
    ask(owner, "echo", mode="async")
    assert Run.objects.get(mode="async").traceparent == ""
