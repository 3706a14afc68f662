"""What the tests of language models share: a provider, prices, and a model that a test plays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

from apps.agents.models import Agent
from apps.agents.runtimes.llm import wire
from apps.agents.services import models
from apps.runs import spine
from apps.runs.services import context
from tests.agents.conftest import *  # noqa: F403
from tests.agents.factories import URL, make_agent
from tests.common.egress.world import serving
from tests.orgs.conftest import AT

KEY = "sk-canary-4f9a1c77e2d05b38"
MODEL = "test-model"
TOOL = {
    "name": "lookup_order",
    "description": "Tells where an order is.",
    "url": URL,
    "input_schema": {
        "type": "object",
        "properties": {"order": {"type": "string", "maxLength": 20}},
        "required": ["order"],
        "additionalProperties": False,
    },
}
PRICE = {"input_micros": 150_000, "output_micros": 600_000}

Play = Callable[[list[Any], Any], ModelResponse]


def says(text: str = "", *calls: ToolCallPart, tokens: tuple[int, int] = (100, 20)) -> Any:
    """An answer of a model: a text, or tools that it wants called."""
    parts: list[Any] = [TextPart(text)] if text else []
    usage = RequestUsage(input_tokens=tokens[0], output_tokens=tokens[1])
    return ModelResponse(parts=[*parts, *calls], usage=usage)


def wants(tool: str, **input: Any) -> ToolCallPart:
    return ToolCallPart(tool, input)


def provide(owner: Any, name: str = "models", **fields: Any) -> Any:
    """A provider at an address that no test reaches unless it says so."""
    said = {"kind": "openai", "base_url": "https://93.184.215.14/v1", "api_key": KEY}
    return models.create_provider(name=name, **{**said, **fields}, actor=owner.actor, at=AT)


def price(owner: Any, model: str = MODEL, **fields: Any) -> Any:
    return models.create_price(model=model, **{**PRICE, **fields}, actor=owner.actor, at=AT)


def completion(text: str | None = None, **call: Any) -> dict[str, Any]:
    """An answer as an OpenAI-compatible server writes it."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if call:
        function = {"name": call["tool"], "arguments": json.dumps(call["input"])}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
        ],
        "usage": {"prompt_tokens": 1234, "completion_tokens": 567, "total_tokens": 1801},
    }


@pytest.fixture
def provider(owner: Any) -> Any:
    """A provider, and a price for its only model."""
    price(owner)
    return provide(owner)


@pytest.fixture
def make_llm(owner: Any, provider: Any) -> Callable[..., Agent]:
    """An `llm` agent: `make_llm(name="Desk", instructions="Be brief.")`."""

    def make(name: str = "Assistant", capabilities: Any = None, **config: Any) -> Agent:
        whole = {"provider": "models", "model": MODEL, **config}
        return make_agent(owner, name=name, runtime="llm", config=whole, capabilities=capabilities)

    return make


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Play], list[Any]]:
    """Be the model: the function gets what the model would; gives what each request held."""

    def install(function: Play) -> list[Any]:
        seen: list[Any] = []

        def heard(messages: list[Any], info: Any) -> ModelResponse:
            seen.append((messages, info))
            return function(messages, info)

        monkeypatch.setattr(wire, "model_of", lambda endpoint, transport: FunctionModel(heard))
        return seen

    return install


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which are left out."""
    waited: list[float] = []
    monkeypatch.setattr(wire, "sleep", waited.append)
    return waited


@pytest.fixture
def site(loopback: None, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A provider on this machine that streams; each part of an answer is an event of its own."""
    from tests.agents.llm.streaming import Provider

    monkeypatch.setattr(context, "DELTA_EVERY", 0.0)
    # Leases are renewed on a connection of their own, which sees nothing of a test's transaction.
    monkeypatch.setattr(spine, "renew_leases", lambda holds: {hold.run_id for hold in holds})
    with serving(Provider()) as provider:
        yield provider


@pytest.fixture
def make(owner: Any, site: Any) -> Callable[..., Any]:
    """An agent of the provider on this machine: `make("anthropic")`."""
    price(owner)

    def made(kind: str = "openai", capabilities: Any = None, **config: Any) -> Any:
        base = f"{site.url}/v1" if kind == "openai" else site.url
        provide(owner, kind=kind, base_url=base)
        whole = {"provider": "models", "model": MODEL, **config}
        return make_agent(
            owner, name="Assistant", runtime="llm", config=whole, capabilities=capabilities
        )

    return made
