"""One run of an `llm` agent: ask the model, do what it asks for and may, until it has answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from apps.agents.runtimes import spans
from apps.agents.runtimes.base import CallContext, Invocation, WorkFailed
from apps.agents.runtimes.conversation import turns_of
from apps.agents.runtimes.llm import recording, tools, wire
from apps.agents.runtimes.llm.config import Limits
from apps.agents.runtimes.llm.endpoints import Endpoint, open_endpoint
from apps.agents.runtimes.llm.own import FINAL, OwnTool, own_tools
from apps.common.json import Object, as_kept, find_flaw, kept_text
from apps.common.schemas import compile_schema, find_errors

NO_ANSWER: Final = f"Answer by calling {FINAL}."


class Talk:
    """The conversation of one run, and what is left of its limits."""

    def __init__(self, invocation: Invocation, ctx: CallContext) -> None:
        config = invocation.config
        self._ctx = ctx
        self._invocation = invocation
        self._limits = Limits.of(config)
        self._redact: bool = config.get("redact", False)
        self._buffered: bool = config.get("buffered", False)
        self._settings: Object = config.get("parameters", {})
        self._instructions = _instructions(invocation)
        self._endpoints = _endpoints(config)
        self._tools = tools.named(ctx.tools(), own_tools(config))
        self._schema = None if tools.is_text(invocation.output_schema) else invocation.output_schema
        self._parameters = self._told()
        self._messages = self._earlier(turns_of(config))
        self._messages.append(self._request([UserPromptPart(_said(invocation.input))]))
        self._requests = self._calls = self._tokens = 0

    def run(self) -> Object:
        """Talk until there is an answer. Raises WorkFailed, Stopped."""
        while True:
            response = self._ask()
            self._messages.append(response)
            parts: list[ModelRequestPart] = []
            for call in response.tool_calls:
                answer = self._final(call) if call.tool_name == FINAL else self._do(call)
                if isinstance(answer, dict):
                    return answer
                parts.append(answer)
            if not parts and self._schema is None:
                return _text(response)
            self._messages.append(self._request(parts or [UserPromptPart(NO_ANSWER)]))

    def _earlier(self, turns: int) -> list[ModelMessage]:
        """The conversation's earlier turns. The log says how many, and their own runs what."""
        told: list[ModelMessage] = []
        given = self._ctx.history(turns) if turns else ()
        for turn in given:
            told.append(self._request([UserPromptPart(_said(turn.input))]))
            told.append(ModelResponse(parts=[TextPart(_said(turn.output))]))
        if given:
            self._ctx.log("info", "The model was given earlier turns.", turns=len(given))
        return told

    def _told(self) -> ModelRequestParameters:
        """What the model is told of its tools and of how to answer."""
        functions = tools.definitions(self._tools)
        if self._schema is None:
            return ModelRequestParameters(function_tools=functions)
        return ModelRequestParameters(
            function_tools=functions,
            output_mode="tool",
            output_tools=[tools.answer_tool(self._schema)],
            allow_text_output=False,
        )

    def _request(self, parts: Sequence[ModelRequestPart]) -> ModelRequest:
        return ModelRequest(parts=list(parts), instructions=self._instructions or None)

    def _ask(self) -> ModelResponse:
        """The next answer, by the first model that can give one; which one then stays."""
        self._check_limits()
        self._requests += 1
        while True:
            try:
                return self._ask_one(self._endpoints[0])
            except wire.Unavailable as failure:
                if len(self._endpoints) == 1:
                    raise
                self._ctx.log("warning", "The next model is asked instead.", why=failure.message)
                del self._endpoints[0]

    def _ask_one(self, endpoint: Endpoint) -> ModelResponse:
        """One recorded request to one model."""
        found: list[ModelResponse] = []
        order = wire.Order(
            tuple(self._messages), self._parameters, self._bounded(), self._is_aloud()
        )
        mark = recording.digest(order.messages)

        def call(key: str) -> Object:
            found.append(wire.send(endpoint, order, key=f"{key}.{mark}", ctx=self._ctx))
            spans.answered(found[0])
            self._count(endpoint, found[0].usage)
            if order.aloud:
                self._ctx.make_sure()  # all that was said is told before the step is over
            return recording.answered(found[0], redact=self._redact)

        asked = recording.asked(
            endpoint.model, self._messages[-1:], sorted(self._tools), redact=self._redact
        )
        answer = self._ctx.call_tool(
            name=f"chat {endpoint.model}",
            input=asked,
            call=call,
            span=partial(spans.chat, endpoint, order.settings),
            is_whole=not self._redact,
            redacted=None if self._redact else recording.redacted,
        )
        return found[0] if found else self._recalled(answer)

    def _recalled(self, answer: Object) -> ModelResponse:
        """What the model said in an earlier attempt. It counts against the limits, not again as
        spent.
        """
        response = recording.recalled(answer, self._requests)
        self._tokens += response.usage.total_tokens
        return response

    def _is_aloud(self) -> bool:
        """Whether the answer is told while it is given: a text, and somebody may be following."""
        return self._schema is None and not self._buffered and self._ctx.is_followed

    def _bounded(self) -> ModelSettings:
        """The owner's parameters; an answer is no longer than the tokens that are left."""
        settings = dict(self._settings)
        if self._limits.tokens is not None:
            left = self._limits.tokens - self._tokens
            settings["max_tokens"] = min(settings.get("max_tokens", left), left)
        return cast(ModelSettings, settings)

    def _count(self, endpoint: Endpoint, usage: RequestUsage) -> None:
        """Put on the run what the request took; raises WorkFailed if nobody can know."""
        is_free = endpoint.rate is not None and endpoint.rate.is_free
        if not usage.total_tokens and not is_free:
            raise WorkFailed("model_usage_unknown", "The provider didn't say what it counted.")
        self._tokens += usage.total_tokens
        self._ctx.spend(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_micros=endpoint.cost_micros(usage),
        )

    def _check_limits(self) -> None:
        """Begin no request beyond what one run may use; raises WorkFailed."""
        limits = self._limits
        _within("requests", self._requests, limits.requests)
        _within("tokens", self._tokens, limits.tokens)
        _within("cost_micros", self._ctx.spent_micros, limits.cost_micros)

    def _do(self, call: ToolCallPart) -> ToolReturnPart[Any]:
        """Do what the model asks for, if it may; what went wrong is told the model."""
        self._calls += 1
        _within("tool_calls", self._calls - 1, self._limits.tool_calls)
        tool = self._tools.get(call.tool_name)
        if tool is None:
            self._ctx.log(
                "warning", "A tool that isn't granted was asked for.", tool=call.tool_name
            )
            return _told(call, "no_grant", "There is no such tool.")
        try:
            input = call.args_as_dict(raise_if_invalid=True)
        except (ValueError, AssertionError):
            return _told(call, "input_invalid", "The tool's input is a JSON object.")
        if flaw := find_flaw(input, root="input"):
            return _told(call, "input_invalid", f"{flaw['field']}: {flaw['message']}")
        try:
            output = self._output(tool, input)
        except WorkFailed as failure:
            return _told(call, failure.code, failure.message)
        return ToolReturnPart(
            call.tool_name, json.dumps(output, ensure_ascii=False), call.tool_call_id
        )

    def _output(self, tool: tools.Tool, input: Object) -> Object:
        """What a tool gives: the agent's own from its endpoint, a granted one from its agent."""
        if isinstance(tool, OwnTool):
            return tool.call(input, self._invocation, self._ctx)
        return self._ctx.call_agent(agent=tool.agent, tool=tool.spec.name, input=input)

    def _final(self, call: ToolCallPart) -> Object | ToolReturnPart[Any]:
        """The answer, or what the model is told that is wrong with it."""
        if self._schema is None:
            return _told(call, "no_grant", "There is no such tool.")
        try:
            answer: Object = call.args_as_dict(raise_if_invalid=True)
        except (ValueError, AssertionError):
            return _told(call, "output_invalid", "The answer is a JSON object.")
        if flaw := find_flaw(answer, root="output"):
            return _told(call, "output_invalid", f"{flaw['field']}: {flaw['message']}")
        if errors := find_errors(compile_schema(self._schema), answer, root="output"):
            said = "; ".join(f"{e['field']}: {e['message']}" for e in errors[:3])
            return _told(call, "output_invalid", said)
        return answer


def _endpoints(config: Object) -> list[Endpoint]:
    """The agent's model, and the one that is asked when it can't answer."""
    named = [config, config["fallback"]] if "fallback" in config else [config]
    return [open_endpoint(one["provider"], one["model"]) for one in named]


def _instructions(invocation: Invocation) -> str:
    """What the owner tells the model, and which of the agent's tools is called."""
    task = f"You carry out the tool “{invocation.tool}”: {invocation.description}"
    own = invocation.config.get("instructions", "")
    return "\n\n".join(filter(None, [own, task if invocation.description else ""]))


def _said(value: Object) -> str:
    """A run's input or output for the model: a text as it is, all else as JSON."""
    if set(value) == {"text"} and isinstance(value["text"], str):
        return value["text"]
    return json.dumps(value, ensure_ascii=False, indent=2)


def _text(response: ModelResponse) -> Object:
    if not (response.text or "").strip():
        raise WorkFailed("model_answer_invalid", "The model gave no answer.")
    return {"text": kept_text(response.text or "")}


def _told(call: ToolCallPart, code: str, message: str) -> ToolReturnPart[Any]:
    """Why a tool call came to nothing, as the model reads it."""
    said = json.dumps(as_kept({"error": {"code": code, "message": message}}), ensure_ascii=False)
    return ToolReturnPart(call.tool_name, said, call.tool_call_id, outcome="failed")


def _within(what: str, used: int | Decimal, limit: int | None) -> None:
    if limit is not None and used >= limit:
        raise WorkFailed("limit_reached", f"The agent's limit of {limit} {what} a run is reached.")
