"""A signed POST to an endpoint of the customer's: of an agent that is one, or of a model's tool.

The endpoint answers with a JSON object. A call may arrive more than once (a lost answer, an
execution begun again), always with the same Idempotency-Key: whoever has an effect remembers it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from apps.agents.runtimes import spans
from apps.agents.runtimes.base import CallContext, Effect, Invocation, WorkFailed
from apps.agents.runtimes.signing import secret_ref, signed_headers
from apps.common import egress
from apps.common.egress import (
    EgressFailed,
    EgressRefused,
    EgressResponse,
    EgressThrottled,
    EgressTimeout,
    EgressTooLarge,
)
from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.tracecontext import outgoing_headers
from apps.tenants import keys
from apps.trust.canonical import loads_object
from apps.trust.errors import JsonInvalid
from apps.trust.secrets import get_secret_store

OUTPUT_MAX: Final = 1024 * 1024
URL_MAX: Final = 2000
# An author is no credential; what authorizes is one.
CREDENTIAL: Final = re.compile(
    r"auth(?!or(?!i[sz]))|cookie|token|secret|passw|pwd|private|credential|session|jwt|signature|api[-_]?key"
    r"|^(?:key|code|sig)$",
    re.I,
)
INSTEAD: Final = "Everybody who sees agents sees it; check the call's signature instead."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a call goes, and the headers that it wants beside ours."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def shown(self) -> str:
        """The call for people, without the URL's query, which may hold a secret."""
        parts = urlsplit(self.url)
        return f"POST {parts.scheme}://{parts.netloc}{parts.path}"


def post(
    endpoint: Endpoint,
    invocation: Invocation,
    ctx: CallContext,
    *,
    name: str = "",
    turns: int = 0,
) -> Object:
    """Have an endpoint do what the invocation says, on record and signed; gives its answer.

    Without a `name` it is the run's own endpoint, and the call all that the run does. It is told at
    most so many turns of the conversation. Raises WorkFailed in words that tell
    nothing of our inside, Stopped.
    """
    secret = get_secret_store().get(secret_ref(invocation.agent_id))
    scope = keys.current().schema
    session = _session(invocation, ctx, turns)

    def call(key: str) -> Object:
        message = {**_message(invocation, key), **session}
        body = json.dumps(message, separators=(",", ":")).encode()
        signature = signed_headers(secret, id=key, timestamp=int(time.time()), body=body)
        said = {**endpoint.headers, **outgoing_headers(), **signature}
        return _send(endpoint.url, body, said, key, scope=scope, ctx=ctx)

    return ctx.call_tool(
        name=name or endpoint.shown,
        input=invocation.input,
        call=call,
        span=partial(spans.execute_tool, invocation.tool),
        effect=Effect(invocation.tool, invocation.annotations, endpoint.host, is_all=not name),
    )


def check_url(url: object, *, field: str) -> str:
    """An endpoint that may be called; raises Invalid. The manifest shows it to everybody.

    Where its name leads is found and judged at each call.
    """
    if not isinstance(url, str) or not 1 <= len(url) <= URL_MAX:
        raise Invalid.of(field, "Give the URL of the endpoint.")
    try:
        names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
        egress.check(url, allow_http=may_be_plain(url))
    except EgressRefused as error:
        raise Invalid.of(field, error.detail) from error
    except ValueError as error:
        raise Invalid.of(field, "The URL can't be read.") from error
    if any(CREDENTIAL.search(name) for name in names):
        raise Invalid.of(field, f"The URL's query would hold a credential. {INSTEAD}")
    return url


def may_be_plain(url: str) -> bool:
    """Whether http may do: only where egress may reach this machine itself, for development."""
    host = urlsplit(url).hostname or ""
    is_here = host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost")
    return bool(settings.EGRESS_ALLOW_LOOPBACK) and is_here


def _message(invocation: Invocation, key: str) -> Object:
    """What the endpoint is told."""
    return {
        "run": public_id("run", invocation.run_id),
        "agent": invocation.agent,
        "tool": invocation.tool,
        "input": invocation.input,
        "attempt": invocation.attempt,
        "idempotency_key": key,
    }


def _session(invocation: Invocation, ctx: CallContext, turns: int) -> Object:
    """What the endpoint is told of the conversation, if there is one. Whoever remembers something
    for it does so by caller and id: another caller's of the same id is another.
    """
    if (session := invocation.session) is None:
        return {}
    told: Object = {"id": session.id, "caller": session.caller}
    if turns:
        told["turns"] = [asdict(turn) for turn in ctx.history(turns)]
    return {"session": told}


def _send(
    url: str, body: bytes, headers: dict[str, str], key: str, *, scope: str, ctx: CallContext
) -> Object:
    """Call the endpoint, again only while the run is ours. Raises WorkFailed, Stopped."""
    try:
        response = egress.request(
            "POST",
            url,
            scope=scope,
            headers={**headers, "content-type": "application/json"},
            content=body,
            timeout=ctx.remaining(),
            max_bytes=OUTPUT_MAX,
            idempotency_key=key,
            allow_http=may_be_plain(url),
            before_retry=ctx.make_sure,
        )
    except EgressTimeout as error:
        raise WorkFailed("endpoint_timeout", "The endpoint took too long.") from error
    except EgressTooLarge as error:
        raise WorkFailed("endpoint_answer_invalid", "The endpoint sent too much.") from error
    except EgressThrottled as error:
        raise WorkFailed("endpoint_throttled", error.detail) from error
    except EgressFailed as error:
        raise WorkFailed("endpoint_unreachable", error.detail) from error
    except EgressRefused as error:
        raise WorkFailed("endpoint_not_allowed", error.detail) from error
    return _output(response)


def _output(response: EgressResponse) -> Object:
    """The endpoint's answer as the output."""
    status = response.status
    if not 200 <= status < 300:
        code = "endpoint_failed" if status >= 500 else "endpoint_refused"
        raise WorkFailed(code, f"The endpoint answered {status}.")
    try:
        return loads_object(response.content, max_bytes=OUTPUT_MAX)
    except JsonInvalid as error:
        raise WorkFailed(
            "endpoint_answer_invalid", "The endpoint's answer is not a JSON object."
        ) from error
