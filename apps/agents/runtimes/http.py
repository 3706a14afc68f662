"""The `http` runtime: an agent that is a customer's endpoint.

The endpoint gets a signed POST and answers with the output, a JSON object (`posting`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from apps.agents.runtimes.base import ANYTHING, CallContext, Invocation
from apps.agents.runtimes.conversation import FIELD, check_conversation, turns_of
from apps.agents.runtimes.posting import CREDENTIAL, INSTEAD, Endpoint, check_url, post
from apps.common.errors import Invalid
from apps.common.json import Object

HEADERS_MAX: Final = 20

_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,498}[!-~])?")
# What every call sets itself, and what ends at the next hop (RFC 9110 §7.6.1).
_OURS: Final = frozenset(
    ("host", "content-length", "content-type", "content-encoding", "accept-encoding", "expect")
    + ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "date")
    + ("idempotency-key", "traceparent", "tracestate", "user-agent", "forwarded", "via")
)


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
        url = check_url(config.get("url"), field="config.url")
        kept = {"url": url, "headers": headers} if headers else {"url": url}
        return kept | check_conversation(config)

    def waits(self, config: Object) -> bool:
        return True

    def tools(self, config: Object) -> None:
        return None

    def is_long(self, config: Object) -> bool:
        return False

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        config = invocation.config
        endpoint = Endpoint(config["url"], config.get("headers", {}))
        return post(endpoint, invocation, ctx, turns=turns_of(config))


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
        if CREDENTIAL.search(name):
            raise Invalid.of(field, f"This header would hold a credential. {INSTEAD}")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise Invalid.of(field, "Use 1 to 500 visible ASCII characters, with spaces between.")
        checked[name] = value
    return checked


RUNTIME: Final = HttpRuntime()
