"""The network that a provider's client is given: the product's one way out, and nothing else.

The client has no credential. Of its headers only those that the API needs are kept, the key is
added, and no redirect is followed. So neither an environment variable that the client reads nor a
provider's answer gets anything anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from apps.agents.models import ProviderKind
from apps.agents.runtimes.llm.endpoints import Endpoint
from apps.agents.runtimes.posting import may_be_plain
from apps.common import egress
from apps.common.egress import EgressFailed, EgressRefused, EgressStream
from apps.common.errors import DomainError
from apps.common.tracecontext import outgoing_headers

ANSWER_MAX: Final = 4 * 1024 * 1024
_KEPT: Final = frozenset(("accept", "content-type", "anthropic-version", "anthropic-beta"))


class Transport(httpx2.AsyncBaseTransport):
    """Sends a client's request through egress. It blocks, for its loop has nothing else to do.

    One that `streams` gives a success while it arrives. `failure` is why there was no answer, or
    no end of it.
    """

    def __init__(
        self, endpoint: Endpoint, *, key: str, left: Callable[[], float], streams: bool = False
    ) -> None:
        self.failure: DomainError | None = None
        self._open: EgressStream | None = None
        self._endpoint = endpoint
        self._key = key
        self._left = left
        self._streams = streams

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        try:
            answer = self._stream(request, body) if self._streams else self._send(request, body)
        except (EgressFailed, EgressRefused) as error:
            self.failure = error
            raise httpx2.ConnectError("The request was not answered.", request=request) from error
        answer.request = request
        return answer

    def _send(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        answer = egress.request(request.method, str(request.url), **self._how(request, body))
        _check_place(answer.status)
        return httpx2.Response(
            answer.status, headers=list(answer.headers.multi_items()), content=answer.content
        )

    def _stream(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        """A success as it comes; anything else is read, for it says why there is none."""
        answer = egress.stream(request.method, str(request.url), **self._how(request, body))
        self._open = answer
        headers = list(answer.headers.multi_items())
        if 200 <= answer.status < 300:
            return httpx2.Response(answer.status, headers=headers, stream=_Parts(answer, self))
        _check_place(answer.status)
        return httpx2.Response(answer.status, headers=headers, content=b"".join(answer))

    def close(self) -> None:
        """Hang up, whatever the client has left open."""
        if self._open is not None:
            self._open.close()

    def _how(self, request: httpx2.Request, body: bytes) -> dict[str, Any]:
        said = {name: value for name, value in request.headers.items() if name in _KEPT}
        ours = {**self._credential(), "idempotency-key": self._key, **outgoing_headers()}
        return {
            "scope": self._endpoint.scope,
            "headers": {**said, **ours},
            "content": body,
            "timeout": self._left(),
            "max_bytes": ANSWER_MAX,
            "allow_http": may_be_plain(str(request.url)),
            "to_model": True,
        }

    def _credential(self) -> dict[str, str]:
        if self._endpoint.kind == ProviderKind.ANTHROPIC:
            return {"x-api-key": self._endpoint.key}
        return {"authorization": f"Bearer {self._endpoint.key}"}


@dataclass(slots=True)
class _Parts(httpx2.AsyncByteStream):
    """A body as it arrives. It is read once: a client that has read its API's last word may want
    to read the connection empty, and ours aren't used again.
    """

    answer: EgressStream
    transport: Transport
    begun: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.begun:
            return
        self.begun = True
        try:
            for part in self.answer:
                yield part
        except EgressFailed as error:
            self.transport.failure = error
            raise httpx2.ReadError("The answer has no end.") from error

    async def aclose(self) -> None:
        self.answer.close()


def _check_place(status: int) -> None:
    if 300 <= status < 400:
        raise EgressRefused("The provider's API led to another address.")
