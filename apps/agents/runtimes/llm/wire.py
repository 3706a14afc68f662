"""One request to a model: the provider's own client, by the product's one way out.

The client is given no credential and no network: its transport sends through egress, keeps of its
headers only those that the API needs, adds the key, and follows no redirect. So neither an
environment variable that the client reads nor a provider's answer gets anything anywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import tenacity
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from apps.agents.models import ProviderKind
from apps.agents.runtimes.base import CallContext, WorkFailed
from apps.agents.runtimes.http import may_be_plain
from apps.agents.runtimes.llm.endpoints import Endpoint
from apps.common import egress
from apps.common.egress import (
    EgressFailed,
    EgressRefused,
    EgressSuspended,
    EgressThrottled,
    EgressTimeout,
    EgressTooLarge,
    EgressUnreachable,
)
from apps.common.errors import DomainError
from apps.common.tracecontext import outgoing_headers

ANSWER_MAX: Final = 4 * 1024 * 1024
TRIES: Final = 3
WAIT_MAX: Final = 20.0
_KEPT: Final = frozenset(("accept", "content-type", "anthropic-version", "anthropic-beta"))
_OPENAI: Final = "api.openai.com"
MISREAD: Final = (TypeError, ValueError, LookupError, AttributeError)
"""What a client trips over in an answer that isn't of the API's form."""

sleep: Callable[[float], None] = time.sleep
"""Between two tries; tests leave the waits out."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a model is asked: all that was said, which tools it has, and how it is to answer."""

    messages: Sequence[ModelMessage]
    parameters: ModelRequestParameters
    settings: ModelSettings


class Unavailable(WorkFailed):
    """The provider can't answer now; another model may."""


class _Again(Exception):
    """A try that may do better in a moment; `after` is the seconds that the provider asks for."""

    def __init__(self, failure: Unavailable, after: float | None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.after = after


class Transport(httpx2.AsyncBaseTransport):
    """Sends a client's request through egress. It blocks, for its loop has nothing else to do."""

    def __init__(self, endpoint: Endpoint, *, key: str, left: Callable[[], float]) -> None:
        self.failure: DomainError | None = None
        self._endpoint = endpoint
        self._key = key
        self._left = left

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        try:
            answer = self._send(request, body)
        except (EgressFailed, EgressRefused) as error:
            self.failure = error
            raise httpx2.ConnectError("The request was not answered.", request=request) from error
        return httpx2.Response(
            answer.status,
            headers=list(answer.headers.multi_items()),
            content=answer.content,
            request=request,
        )

    def _send(self, request: httpx2.Request, body: bytes) -> egress.EgressResponse:
        url = str(request.url)
        said = {name: value for name, value in request.headers.items() if name in _KEPT}
        ours = {**self._credential(), "idempotency-key": self._key, **outgoing_headers()}
        answer = egress.request(
            request.method,
            url,
            scope=self._endpoint.scope,
            headers={**said, **ours},
            content=body,
            timeout=self._left(),
            max_bytes=ANSWER_MAX,
            allow_http=may_be_plain(url),
        )
        if 300 <= answer.status < 400:
            raise EgressRefused("The provider's API led to another address.")
        return answer

    def _credential(self) -> dict[str, str]:
        if self._endpoint.kind == ProviderKind.ANTHROPIC:
            return {"x-api-key": self._endpoint.key}
        return {"authorization": f"Bearer {self._endpoint.key}"}


def model_of(endpoint: Endpoint, transport: Transport) -> Model:
    """pydantic-ai's model for an endpoint; the seam at which tests put their own."""
    client = httpx2.AsyncClient(transport=transport, trust_env=False)
    how: dict[str, Any] = {"api_key": "none", "base_url": endpoint.base_url, "max_retries": 0}
    if endpoint.kind == ProviderKind.ANTHROPIC:
        return _anthropic(endpoint.model, client, how)
    return _openai(endpoint.model, client, how)


def send(endpoint: Endpoint, order: Order, *, key: str, ctx: CallContext) -> ModelResponse:
    """Ask a model, a few times if its provider is down for a moment, always with the same key.

    Raises Unavailable if it stays so, WorkFailed in words that quote nothing of the provider's,
    for its texts may quote our key, and Stopped.
    """

    def pause(seconds: float) -> None:
        sleep(seconds)
        ctx.make_sure()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Again),
        stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_before_delay(ctx.remaining()),
        wait=_wait,
        sleep=pause,
        reraise=True,
    )
    try:
        return retrying(_once, endpoint, order, key, ctx)
    except _Again as again:
        raise again.failure from again


def _once(endpoint: Endpoint, order: Order, key: str, ctx: CallContext) -> ModelResponse:
    transport = Transport(endpoint, key=key, left=ctx.remaining)
    model = model_of(endpoint, transport)
    try:
        return asyncio.run(
            model_request(
                model,
                order.messages,
                model_settings=order.settings,
                model_request_parameters=order.parameters,
                instrument=False,
            )
        )
    except ModelHTTPError as error:
        raise _answered(error) from error
    except (AgentRunError, *MISREAD) as error:
        if transport.failure is not None:
            raise _unanswered(transport.failure) from error
        raise WorkFailed("model_answer_invalid", "The model's answer can't be read.") from error


def _answered(error: ModelHTTPError) -> Exception:
    """What an answer of 4xx or 5xx means."""
    status, said = error.status_code, f"The provider answered {error.status_code}."
    if status == 429:
        return _Again(Unavailable("model_throttled", said), _seconds(error.headers))
    if status >= 500:
        return _Again(Unavailable("model_unavailable", said), _seconds(error.headers))
    if status in (401, 403):
        said = f"{said} Check its key under Settings → Models."
    return WorkFailed("model_refused", said)


def _unanswered(failure: DomainError) -> Exception:
    """What it means that there was no answer."""
    match failure:
        case EgressUnreachable():
            return _Again(Unavailable("model_unavailable", failure.detail), None)
        case EgressTimeout():
            return WorkFailed("model_timeout", "The provider took too long.")
        case EgressTooLarge():
            return WorkFailed("model_answer_invalid", "The provider sent too much.")
        case EgressThrottled() | EgressSuspended():
            return Unavailable("model_throttled", failure.detail)
        case EgressRefused():
            return WorkFailed("model_not_allowed", failure.detail)
        case _:
            return Unavailable("model_unavailable", failure.detail)


def _wait(state: tenacity.RetryCallState) -> float:
    """As long as the provider asks for, else a little longer each time; at most WAIT_MAX."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Again) and error.after is not None:
        return min(error.after, WAIT_MAX)
    return tenacity.wait_random_exponential(multiplier=0.5, max=5)(state)


def _seconds(headers: dict[str, str] | None) -> float | None:
    """Retry-After in seconds (RFC 9110 §10.2.3); None for a date or nothing."""
    said = (headers or {}).get("retry-after", "")
    return float(said) if said.isdecimal() else None


def _openai(model: str, client: httpx2.AsyncClient, how: dict[str, Any]) -> Model:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    speaker = AsyncOpenAI(http_client=client, **how)
    if httpx2.URL(how["base_url"]).host == _OPENAI:
        return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=speaker))
    other = OpenAICompatibleProvider("openai-compatible", openai_client=speaker)
    return OpenAIChatModel(model, provider=other)


def _anthropic(model: str, client: httpx2.AsyncClient, how: dict[str, Any]) -> Model:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    speaker = AsyncAnthropic(http_client=client, **how)
    return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=speaker))
