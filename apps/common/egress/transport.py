"""httpx transports that keep every rule of this package, for our client and for SDKs alike.

Each request passes the gate (URL rules, rate, breaker), each connection is pinned, each body is
metered. An SDK that is handed one of these can follow redirects or retry as it likes: it can't get
anywhere that we would not go.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import httpcore
import httpx

from apps.common.egress.body import BodyMeter
from apps.common.egress.deadline import Deadline
from apps.common.egress.errors import EgressRefused
from apps.common.egress.guard import Guard
from apps.common.egress.pinning import AsyncPinnedBackend, PinnedBackend
from apps.common.egress.policy import EgressPolicy
from apps.common.egress.resolve import Resolver
from apps.common.egress.targets import check_target

# Answers by which a host, or the proxy before it, says that it is down (RFC 9110 §15.6).
DOWN = frozenset((502, 503, 504))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What all requests of one caller have in common. `scope` is the org (or "system")."""

    policy: EgressPolicy
    resolver: Resolver
    guard: Guard
    tls: ssl.SSLContext
    scope: str
    allow_http: bool
    max_bytes: int | None
    deadline: Deadline = field(default_factory=Deadline)

    def admit(self, request: httpx.Request) -> Visit:
        """Checks all that can be known before dialling, and makes the request's headers ours."""
        target = check_target(
            request.url,
            allow_http=self.allow_http,
            allow_loopback=self.policy.allow_loopback,
            vouched=self.policy.model_origins,
        )
        if request.headers.get("host", "").encode() != request.url.netloc:
            raise EgressRefused("The Host header may not name another host than the URL.")
        self.guard.admit(self.scope, target.host)
        request.headers["accept-encoding"] = "gzip"
        return Visit(self.guard, self.scope, target.host)

    def meter(self, request: httpx.Request, response: httpx.Response) -> BodyMeter:
        bodiless = request.method == "HEAD"
        return BodyMeter(response.headers, limit=self.max_bytes, bodiless=bodiless)


@dataclass(slots=True)
class Visit:
    """One request's report to the guard: what went wrong, or that all of it arrived."""

    guard: Guard
    scope: str
    host: str
    failed: bool = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        ours = isinstance(error, httpx.LocalProtocolError | httpx.PoolTimeout)
        if isinstance(error, httpx.TransportError) and not ours:
            self.fail()

    def fail(self) -> None:
        if not self.failed:
            self.failed = True
            self.guard.failed(self.scope, self.host)

    def close(self, status: int) -> None:
        if status in DOWN:
            self.fail()
        elif not self.failed:
            self.guard.succeeded(self.scope, self.host)


@dataclass(slots=True)
class _Body(httpx.SyncByteStream):
    response: httpx.Response
    meter: BodyMeter
    visit: Visit

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self.response.stream, httpx.SyncByteStream)  # noqa: S101
        with self.visit:
            for chunk in self.response.stream:
                yield self.meter.feed(chunk)
        self.meter.finish()

    def close(self) -> None:
        self.response.close()
        self.visit.close(self.response.status_code)


@dataclass(slots=True)
class _AsyncBody(httpx.AsyncByteStream):
    response: httpx.Response
    meter: BodyMeter
    visit: Visit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.response.stream, httpx.AsyncByteStream)  # noqa: S101
        with self.visit:
            async for chunk in self.response.stream:
                yield self.meter.feed(chunk)
        self.meter.finish()

    async def aclose(self) -> None:
        await self.response.aclose()
        self.visit.close(self.response.status_code)


def _with_body(
    response: httpx.Response, meter: BodyMeter, body: httpx.SyncByteStream | httpx.AsyncByteStream
) -> httpx.Response:
    return httpx.Response(
        response.status_code,
        headers=meter.plain_headers(response.headers),
        stream=body,
        extensions=response.extensions,
    )


class PinnedTransport(httpx.HTTPTransport):
    """For `httpx.Client(transport=…)`; its connections stay with the address once checked."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(verify=gate.tls, trust_env=False)
        self._gate = gate
        # httpx has no public way to name the network backend; a test fails should this one go.
        self._pool = httpcore.ConnectionPool(
            ssl_context=gate.tls,
            max_connections=None,
            max_keepalive_connections=10,
            keepalive_expiry=5.0,
            network_backend=PinnedBackend(
                resolver=gate.resolver, policy=gate.policy, deadline=gate.deadline
            ),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        visit = self._gate.admit(request)
        with visit:
            response = super().handle_request(request)
        try:
            meter = self._gate.meter(request, response)
        except BaseException:
            response.close()
            raise
        return _with_body(response, meter, _Body(response, meter, visit))


class AsyncPinnedTransport(httpx.AsyncHTTPTransport):
    """For `httpx.AsyncClient(transport=…)`; otherwise as PinnedTransport."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(verify=gate.tls, trust_env=False)
        self._gate = gate
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=gate.tls,
            max_connections=None,
            max_keepalive_connections=10,
            keepalive_expiry=5.0,
            network_backend=AsyncPinnedBackend(resolver=gate.resolver, policy=gate.policy),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        visit = self._gate.admit(request)
        with visit:
            response = await super().handle_async_request(request)
        try:
            meter = self._gate.meter(request, response)
        except BaseException:
            await response.aclose()
            raise
        return _with_body(response, meter, _AsyncBody(response, meter, visit))
