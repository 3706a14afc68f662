"""One request to a model, tried a few times, and what it means when there is no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import tenacity
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from apps.agents.models import ProviderKind
from apps.agents.runtimes.base import CallContext, WorkFailed
from apps.agents.runtimes.llm.clients import model_of
from apps.agents.runtimes.llm.endpoints import Endpoint
from apps.agents.runtimes.llm.listening import check_whole, listen
from apps.agents.runtimes.llm.transport import Transport
from apps.common.egress import (
    EgressRefused,
    EgressSuspended,
    EgressThrottled,
    EgressTimeout,
    EgressTooLarge,
    EgressUnreachable,
)
from apps.common.errors import DomainError

TRIES: Final = 3
WAIT_MAX: Final = 20.0
MISREAD: Final = (TypeError, ValueError, LookupError, AttributeError)
"""What a client trips over in an answer that isn't of the API's form."""

sleep: Callable[[float], None] = time.sleep
"""Between two tries; tests leave the waits out."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a model is asked: all that was said, which tools it has, and how it is to answer.

    `aloud` has its text passed on while it is given.
    """

    messages: Sequence[ModelMessage]
    parameters: ModelRequestParameters
    settings: ModelSettings
    aloud: bool = False


class Unavailable(WorkFailed):
    """The provider can't answer now; another model may."""


class _Again(Exception):
    """A try that may do better in a moment; `after` is the seconds that the provider asks for."""

    def __init__(self, failure: Unavailable, after: float | None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.after = after


class _Telling:
    """Passes on what a model says; once anything was, nobody can be told it from the beginning."""

    def __init__(self, ctx: CallContext) -> None:
        self._ctx = ctx
        self.begun = False

    def __call__(self, text: str) -> None:
        """Pass on the next part; raises Stopped, also where there is none, if the run is lost."""
        self.begun = self.begun or bool(text)
        self._ctx.delta(text)

    def is_untold(self, error: BaseException) -> bool:
        """Whether another try may do better and contradicts nothing that was said."""
        return isinstance(error, _Again) and not self.begun


def send(endpoint: Endpoint, order: Order, *, key: str, ctx: CallContext) -> ModelResponse:
    """Ask a model, a few times if its provider is down for a moment, always with the same key.

    An answer that has begun to be told is not asked for again. Raises Unavailable if there is none,
    WorkFailed in words that quote nothing of the provider's, for its texts may quote our key, and
    Stopped.
    """
    telling = _Telling(ctx)

    def pause(seconds: float) -> None:
        sleep(seconds)
        ctx.make_sure()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(telling.is_untold),
        stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_before_delay(ctx.remaining()),
        wait=_wait,
        sleep=pause,
        reraise=True,
    )
    try:
        return retrying(_once, endpoint, order, key, ctx, telling)
    except _Again as again:
        raise again.failure from again


def _once(
    endpoint: Endpoint, order: Order, key: str, ctx: CallContext, telling: _Telling
) -> ModelResponse:
    transport = Transport(endpoint, key=key, left=ctx.remaining, streams=order.aloud)
    try:
        return _asked(endpoint, order, transport, telling)
    except ModelHTTPError as error:
        raise _answered(error) from error
    except (AgentRunError, *MISREAD) as error:
        if transport.failure is not None:
            raise _unanswered(transport.failure) from error
        raise WorkFailed("model_answer_invalid", "The model's answer can't be read.") from error
    finally:
        transport.close()


def _asked(
    endpoint: Endpoint, order: Order, transport: Transport, telling: _Telling
) -> ModelResponse:
    """What the model answers, read at once or as it comes."""
    model = model_of(endpoint, transport)
    how: dict[str, Any] = {
        "model_settings": order.settings,
        "model_request_parameters": order.parameters,
        "instrument": False,
    }
    if not order.aloud:
        return asyncio.run(model_request(model, order.messages, **how))
    response = listen(model_request_stream(model, order.messages, **how), telling)
    return check_whole(response) if endpoint.kind == ProviderKind.ANTHROPIC else response


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
