"""The providers' own clients, as pydantic-ai drives them, with no credential and no network."""

from __future__ import annotations

from typing import Any, Final

import httpx2
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.usage import RequestUsage

from apps.agents.models import ProviderKind
from apps.agents.runtimes.llm.endpoints import Endpoint
from apps.agents.runtimes.llm.transport import Transport

_OPENAI: Final = "api.openai.com"


def model_of(endpoint: Endpoint, transport: Transport) -> Model:
    """pydantic-ai's model for an endpoint."""
    client = httpx2.AsyncClient(transport=transport, trust_env=False)
    how: dict[str, Any] = {"api_key": "none", "base_url": endpoint.base_url, "max_retries": 0}
    if endpoint.kind == ProviderKind.ANTHROPIC:
        return _anthropic(endpoint.model, client, how)
    return _openai(endpoint.model, client, how)


class _Streamed(OpenAIStreamedResponse):
    """Counts what was used as servers mean it: one that tells it several times tells the sum."""

    def _add_usage(self, usage: RequestUsage, *, reported: bool, cumulative: bool = False) -> None:
        super()._add_usage(usage, reported=reported, cumulative=cumulative or reported)


class _Chat(OpenAIChatModel):
    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _Streamed


def _openai(model: str, client: httpx2.AsyncClient, how: dict[str, Any]) -> Model:
    from openai import AsyncOpenAI
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    speaker = AsyncOpenAI(http_client=client, **how)
    # An answer that stops without saying why was cut off, and what it counted with it.
    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    if httpx2.URL(how["base_url"]).host == _OPENAI:
        return _Chat(model, provider=OpenAIProvider(openai_client=speaker), profile=profile)
    other = OpenAICompatibleProvider("openai-compatible", openai_client=speaker)
    return _Chat(model, provider=other, profile=profile)


def _anthropic(model: str, client: httpx2.AsyncClient, how: dict[str, Any]) -> Model:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    speaker = AsyncAnthropic(http_client=client, **how)
    return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=speaker))
