"""What goes out, what comes back, and where a redirect leads: values without any I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from apps.common.egress.errors import EgressFailed, EgressRefused
from apps.common.egress.targets import parse_url

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")

# All that a request still says about itself at another origin. Everything else may be a credential:
# there is no telling what a partner's X-Something holds.
_HARMLESS = frozenset(("accept", "accept-language", "user-agent"))


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """An answer, read to its end and unpacked. `url` is the one that answered, after redirects."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: str

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise EgressFailed("The remote server's answer is not JSON.") from error


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """One hop, ready to be sent."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    content: bytes

    def redirected(self, response: EgressResponse) -> EgressRequest | None:
        """The next hop, or None if the response is no redirect (RFC 9110 §15.4).

        Never from https to http; at another origin without credentials; and a body never goes to
        another origin, since it may hold secrets too and was signed for its addressee.
        """
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or location is None:
            return None
        hop = replace(self, url=self._resolved(location))._with_method(response.status)
        if self.url.scheme == "https" and hop.url.scheme != "https":
            raise EgressRefused("A redirect leads from https to an unprotected address.")
        return hop if _origin(hop.url) == _origin(self.url) else hop._for_stranger()

    def _resolved(self, location: str) -> httpx.URL:
        parsed = parse_url(location)
        try:
            return self.url.join(parsed).copy_with(fragment=None)
        except httpx.InvalidURL as error:
            raise EgressRefused("A redirect's address can't be read.") from error

    def _with_method(self, status: int) -> EgressRequest:
        becomes_get = status == 303 or (status in (301, 302) and self.method == "POST")
        if not becomes_get or self.method in ("GET", "HEAD"):
            return self
        headers = self.headers.copy()
        headers.pop("content-type", None)
        return replace(self, method="GET", content=b"", headers=headers)

    def _for_stranger(self) -> EgressRequest:
        if self.content:
            raise EgressRefused("A redirect would send the request's body to another origin.")
        kept = {key: value for key, value in self.headers.items() if key in _HARMLESS}
        return replace(self, headers=httpx.Headers(kept))


def build_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None,
    json_body: Any,
) -> EgressRequest:
    """Puts a request together from a caller's parts; refuses what could smuggle a second one."""
    if method not in METHODS:
        raise EgressRefused(f"The method must be one of {', '.join(sorted(METHODS))}.")
    fields = httpx.Headers({"accept": "*/*", "user-agent": "Mandate"})
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise EgressRefused("A header's name or value holds a character that is not allowed.")
        fields[name] = value
    if json_body is not None:
        fields.setdefault("content-type", "application/json")
        content = json.dumps(json_body, separators=(",", ":")).encode()
    return EgressRequest(method, parse_url(url), fields, content or b"")


def _origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return (url.scheme, url.raw_host, url.port)
