"""The `http` runtime: an agent that is a customer's endpoint.

The endpoint gets a signed POST and answers with the output, a JSON object. A call may arrive more
than once (a lost answer, an execution begun again), always with the same Idempotency-Key: whoever
has an effect remembers the key.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from apps.agents.runtimes import spans
from apps.agents.runtimes.base import ANYTHING, CallContext, Invocation, WorkFailed
from apps.agents.runtimes.conversation import FIELD, check_conversation, turns_of
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
HEADERS_MAX: Final = 20

_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,498}[!-~])?")
# What every call sets itself, and what ends at the next hop (RFC 9110 §7.6.1).
_OURS: Final = frozenset(
    ("host", "content-length", "content-type", "content-encoding", "accept-encoding", "expect")
    + ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "date")
    + ("idempotency-key", "traceparent", "tracestate", "user-agent", "forwarded", "via")
)
# An author is no credential; what authorizes is one.
_CREDENTIAL: Final = re.compile(
    r"auth(?!or(?!i[sz]))|cookie|token|secret|passw|pwd|private|credential|session|jwt|signature|api[-_]?key"
    r"|^(?:key|code|sig)$",
    re.I,
)
_INSTEAD: Final = "Everybody who sees agents sees it; check the call's signature instead."


class HttpRuntime:
    """Config: `{"url"}`, the endpoint, `{"headers"}` that it wants beside ours, and of how many
    turns of a conversation it is told.
    """

    kind = "http"
    signs = True
    offers = ANYTHING

    def check_config(self, config: Mapping[str, Any]) -> Object:
        if unknown := sorted(set(config) - {"url", "headers", FIELD}):
            raise Invalid.of(f"config.{unknown[0]}", "Unknown field.")
        headers = check_headers(config.get("headers", {}))
        url = check_url(config.get("url"))
        kept = {"url": url, "headers": headers} if headers else {"url": url}
        return kept | check_conversation(config)

    def waits(self, config: Object) -> bool:
        return True

    def tools(self, config: Object) -> None:
        return None

    def is_long(self, config: Object) -> bool:
        return False

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        secret = get_secret_store().get(secret_ref(invocation.agent_id))
        scope = keys.current().schema
        url: str = invocation.config["url"]
        headers: dict[str, str] = invocation.config.get("headers", {})
        session = _session(invocation, ctx)

        def call(key: str) -> Object:
            body = json.dumps(
                {**_message(invocation, key), **session}, separators=(",", ":")
            ).encode()
            signature = signed_headers(secret, id=key, timestamp=int(time.time()), body=body)
            said = headers | outgoing_headers() | signature
            return _post(url, body, said, key, scope=scope, ctx=ctx)

        return ctx.call_tool(
            name=f"POST {_shown(url)}",
            input=invocation.input,
            call=call,
            span=partial(spans.execute_tool, invocation.tool),
        )


def check_url(url: object) -> str:
    """An endpoint that may be called; raises Invalid. The manifest shows it to everybody.

    Where its name leads is found and judged at each call.
    """
    if not isinstance(url, str) or not 1 <= len(url) <= URL_MAX:
        raise Invalid.of("config.url", "Give the URL of the agent's endpoint.")
    try:
        names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
        egress.check(url, allow_http=may_be_plain(url))
    except EgressRefused as error:
        raise Invalid.of("config.url", error.detail) from error
    except ValueError as error:
        raise Invalid.of("config.url", "The URL can't be read.") from error
    if any(_CREDENTIAL.search(name) for name in names):
        raise Invalid.of("config.url", f"The URL's query would hold a credential. {_INSTEAD}")
    return url


def check_headers(headers: object) -> dict[str, str]:
    """Headers that tell an endpoint something and no secret; raises Invalid."""
    if not isinstance(headers, dict) or len(headers) > HEADERS_MAX:
        raise Invalid.of("config.headers", f"Give an object of at most {HEADERS_MAX} headers.")
    checked: dict[str, str] = {}
    for given, value in headers.items():
        name, field = str(given).lower(), f"config.headers.{str(given)[:80]}"
        if not _HEADER.fullmatch(name):
            raise Invalid.of(field, "A header's name has letters, digits and hyphens.")
        if name in checked:
            raise Invalid.of(field, "Give each header once; upper and lower case are one.")
        if name in _OURS or name.startswith(("webhook-", "proxy-", "sec-")):
            raise Invalid.of(field, "This header belongs to the connection or the signature.")
        if _CREDENTIAL.search(name):
            raise Invalid.of(field, f"This header would hold a credential. {_INSTEAD}")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise Invalid.of(field, "Use 1 to 500 visible ASCII characters, with spaces between.")
        checked[name] = value
    return checked


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


def _session(invocation: Invocation, ctx: CallContext) -> Object:
    """What the endpoint is told of the conversation, if there is one. Whoever remembers something
    for it does so by caller and id: another caller's of the same id is another.
    """
    if (session := invocation.session) is None:
        return {}
    told: Object = {"id": session.id, "caller": session.caller}
    if turns := turns_of(invocation.config):
        told["turns"] = [asdict(turn) for turn in ctx.history(turns)]
    return {"session": told}


def _post(
    url: str, body: bytes, headers: dict[str, str], key: str, *, scope: str, ctx: CallContext
) -> Object:
    """Call the endpoint, again only while the run is ours.

    Raises WorkFailed in words that tell nothing of our inside, Stopped.
    """
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


def _shown(url: str) -> str:
    """The URL for people, without its query, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


RUNTIME: Final = HttpRuntime()
