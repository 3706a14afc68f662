"""The one way out: whoever takes a URL from a person or an agent calls it through here.

    response = egress.request("POST", url, scope=schema, json=event, idempotency_key=key)
    with egress.stream("POST", url, scope=schema, content=body) as answer: ...
    client = httpx.AsyncClient(transport=egress.async_transport(scope=schema), trust_env=False)

Every request goes the same way: the URL is read strictly (targets), the host's rate and breaker are
asked (guard), the name is looked up and every address judged (resolve, classify), the connection is
pinned to a judged address (pinning), the body is counted as it arrives (body). Redirects are
followed only when asked, each as a request of its own.
"""

from __future__ import annotations

from typing import Any

from apps.common.egress.answers import EgressStream
from apps.common.egress.client import EgressClient, default_client
from apps.common.egress.errors import (
    EgressFailed,
    EgressRefused,
    EgressSuspended,
    EgressThrottled,
    EgressTimeout,
    EgressTooLarge,
    EgressUnreachable,
)
from apps.common.egress.messages import EgressResponse
from apps.common.egress.policy import EgressPolicy
from apps.common.egress.resolve import Resolver
from apps.common.egress.transport import AsyncPinnedTransport, PinnedTransport

__all__ = [
    "AsyncPinnedTransport",
    "EgressClient",
    "EgressFailed",
    "EgressPolicy",
    "EgressRefused",
    "EgressResponse",
    "EgressStream",
    "EgressSuspended",
    "EgressThrottled",
    "EgressTimeout",
    "EgressTooLarge",
    "EgressUnreachable",
    "PinnedTransport",
    "Resolver",
    "async_transport",
    "check",
    "default_client",
    "request",
    "stream",
    "transport",
]


def request(method: str, url: str, *, scope: str, **options: Any) -> EgressResponse:
    """`EgressClient.request` of this process's client."""
    return default_client().request(method, url, scope=scope, **options)


def stream(method: str, url: str, *, scope: str, **options: Any) -> EgressStream:
    """`EgressClient.stream` of this process's client."""
    return default_client().stream(method, url, scope=scope, **options)


def check(url: str, *, allow_http: bool = False, to_model: bool = False) -> None:
    """`EgressClient.check` of this process's client."""
    default_client().check(url, allow_http=allow_http, to_model=to_model)


def transport(*, scope: str, **options: Any) -> PinnedTransport:
    """`EgressClient.transport` of this process's client."""
    return default_client().transport(scope=scope, **options)


def async_transport(*, scope: str, **options: Any) -> AsyncPinnedTransport:
    """`EgressClient.async_transport` of this process's client."""
    return default_client().async_transport(scope=scope, **options)
