"""Sends requests to addresses that people and agents name: the only door out of the product."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import certifi
import httpx
import tenacity

from apps.common.egress.answers import EgressStream, open_stream
from apps.common.egress.deadline import Deadline
from apps.common.egress.errors import EgressFailed, EgressUnreachable
from apps.common.egress.guard import Guard
from apps.common.egress.messages import EgressRequest, EgressResponse, build_request
from apps.common.egress.policy import EgressPolicy
from apps.common.egress.resolve import Resolver, check_address, system_resolver
from apps.common.egress.targets import check_target, parse_url
from apps.common.egress.transport import DOWN, AsyncPinnedTransport, Gate, PinnedTransport


@cache
def public_tls() -> ssl.SSLContext:
    """Trusts the public authorities, and reads nothing from the environment.

    `ssl.create_default_context` would write session keys to the file that SSLKEYLOGFILE names.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=certifi.where())
    return context


class EgressClient:
    """Calls public hosts within a policy. Safe to share between threads; keeps no cookies.

    `scope` names whose request it is, the org's schema or "system": rates and breakers are counted
    for it alone. `resolver`, `tls` and `sleep` are there for tests and private authorities.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._policy = replace(policy, model_origins=frozenset())
        self._for_models = policy
        self._resolver = resolver
        self._tls = tls or public_tls()
        self._sleep = sleep
        self._guard = Guard(policy)

    def request(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        json: Any = None,
        timeout: float | None = None,
        max_bytes: int | None = None,
        follow: int = 0,
        idempotency_key: str | None = None,
        allow_http: bool = False,
        to_model: bool = False,
        before_retry: Callable[[], None] | None = None,
    ) -> EgressResponse:
        """Sends one request and reads the whole answer, whatever its status.

        `timeout` (seconds) covers everything, `follow` is the number of redirects to go after: with
        0 a redirect is an answer like any other. Only a request with an idempotency key is ever
        sent twice, since only then can the other side tell a retry from a second order; what
        `before_retry` raises right before a further try keeps it from being sent, and goes on. One
        `to_model` may also go where operators have models of their own.
        Raises EgressRefused before anything is sent, EgressFailed or a kind of it afterwards.
        """
        key = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        order = build_request(
            method, url, headers={**(headers or {}), **key}, content=content, json_body=json
        )
        gate = self._timed_gate(scope, allow_http, max_bytes, timeout, to_model)
        if idempotency_key is None:
            return self._follow(gate, order, follow)
        return self._retrying(gate.deadline, before_retry)(self._follow, gate, order, follow)

    def stream(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float | None = None,
        max_bytes: int | None = None,
        allow_http: bool = False,
        to_model: bool = False,
    ) -> EgressStream:
        """Sends one request, once, and gives the answer while it arrives; the caller closes it.

        `timeout` and `max_bytes` hold for the whole of it, however slowly it comes. A redirect is
        an answer like any other. Raises as `request`, and so does reading the answer.
        """
        order = build_request(method, url, headers=headers or {}, content=content, json_body=None)
        gate = self._timed_gate(scope, allow_http, max_bytes, timeout, to_model)
        return self._open(gate, order)

    def check(self, url: str, *, allow_http: bool = False, to_model: bool = False) -> None:
        """Refuses a URL that may never be called: for forms that store one for later.

        A courtesy to whoever fills in the form; each request is checked again. No name is looked
        up, so it can stand in a transaction: who a name is, is decided when it is dialled.
        """
        policy = self._for_models if to_model else self._policy
        target = check_target(
            parse_url(url),
            allow_http=allow_http,
            allow_loopback=policy.allow_loopback,
            vouched=policy.model_origins,
        )
        if target.address is not None:
            check_address(target.host, target.address, policy=policy, port=target.port)

    def transport(
        self, *, scope: str, max_bytes: int | None = None, allow_http: bool = False
    ) -> PinnedTransport:
        """For SDKs that take an `httpx.Client`: every rule holds, but the SDK keeps the time.

        `max_bytes` caps each response; None leaves a stream unbounded. Build the client with
        `trust_env=False`, or a proxy named by the environment takes the transport's place.
        """
        return PinnedTransport(self._gate(scope, allow_http, max_bytes, Deadline(math.inf)))

    def async_transport(
        self, *, scope: str, max_bytes: int | None = None, allow_http: bool = False
    ) -> AsyncPinnedTransport:
        """The same for SDKs that take an `httpx.AsyncClient`."""
        return AsyncPinnedTransport(self._gate(scope, allow_http, max_bytes, Deadline(math.inf)))

    def _timed_gate(
        self,
        scope: str,
        allow_http: bool,
        max_bytes: int | None,
        timeout: float | None,
        to_model: bool,
    ) -> Gate:
        """The way of one request: both of its limits are there, whether named or not."""
        most = self._policy.max_bytes if max_bytes is None else max_bytes
        seconds = self._policy.timeout if timeout is None else timeout
        return self._gate(scope, allow_http, most, Deadline(seconds), to_model=to_model)

    def _gate(
        self,
        scope: str,
        allow_http: bool,
        max_bytes: int | None,
        deadline: Deadline,
        *,
        to_model: bool = False,
    ) -> Gate:
        return Gate(
            policy=self._for_models if to_model else self._policy,
            resolver=self._resolver,
            guard=self._guard,
            tls=self._tls,
            scope=scope,
            allow_http=allow_http,
            max_bytes=max_bytes,
            deadline=deadline,
        )

    def _follow(self, gate: Gate, order: EgressRequest, follow: int) -> EgressResponse:
        response = self._send(gate, order)
        for _ in range(follow):
            hop = order.redirected(response)
            if hop is None:
                return response
            order, response = hop, self._send(gate, hop)
        if follow and order.redirected(response) is not None:
            raise EgressFailed(f"The remote server redirected more than {follow} times.")
        return response

    def _send(self, gate: Gate, order: EgressRequest) -> EgressResponse:
        """One hop, read to its end."""
        with self._open(gate, order) as answer:
            content = b"".join(answer)
        return EgressResponse(answer.status, answer.headers, content, str(order.url))

    def _open(self, gate: Gate, order: EgressRequest) -> EgressStream:
        """One hop's answer as it arrives, on a connection of its own, so that orgs share none."""
        request = httpx.Request(
            order.method,
            order.url,
            headers=order.headers,
            content=order.content or None,
            extensions={"timeout": self._step_timeouts()},
        )
        return open_stream(PinnedTransport(gate), request, gate.deadline)

    def _step_timeouts(self) -> dict[str, float | None]:
        return httpx.Timeout(None, connect=self._policy.connect_timeout).as_dict()

    def _retrying(
        self, deadline: Deadline, before_retry: Callable[[], None] | None
    ) -> tenacity.Retrying:
        def pause(seconds: float) -> None:
            self._sleep(seconds)
            if before_retry is not None:
                before_retry()

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(EgressUnreachable)
            | tenacity.retry_if_result(lambda response: response.status in DOWN),
            stop=tenacity.stop_after_attempt(self._policy.attempts)
            | tenacity.stop_before_delay(deadline.left()),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=2),
            sleep=pause,
            retry_error_callback=_last_outcome,
        )


def _last_outcome(state: tenacity.RetryCallState) -> EgressResponse:
    """Out of tries: the last answer as it is, or the last failure, not tenacity's RetryError."""
    if state.outcome is None:
        raise EgressFailed("The request was never sent.")
    response: EgressResponse = state.outcome.result()
    return response


@cache
def default_client() -> EgressClient:
    """The client of this process, with the limits of the settings."""
    return EgressClient(EgressPolicy.from_settings())
