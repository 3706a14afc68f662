"""Reads a URL the way it will be dialled, and refuses what two readers could read differently.

httpx's parser is the only one used, for the check and for the request alike, so there is no second
opinion to exploit. Hosts are narrower than RFC 3986 allows: letters, digits and hyphens (RFC 1123
§2.1), or an address in its one canonical notation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from apps.common.egress.classify import IPAddress, parse_address
from apps.common.egress.errors import EgressRefused
from apps.common.egress.policy import Origin

MAX_URL = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Names that never exist on the public internet (RFC 6761, 6762, 7686, 8375, 9476, ICANN .internal).
_PRIVATE_SUFFIXES = frozenset(
    ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp")
    + ("arpa", "onion", "invalid", "alt")
)

# Ports from 1024 up where something else than HTTP answers: the Fetch standard's "bad ports" and
# the usual databases. Below 1024 only 80 and 443 are open.
_OTHER_PROTOCOLS = frozenset(
    (1433, 1521, 1719, 1720, 1723, 2049, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672)
    + (6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211, 27017)
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: `host` is lower-case ASCII (IPv6 without brackets)."""

    scheme: str
    host: str
    port: int
    address: IPAddress | None

    @property
    def origin(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)


def parse_url(text: str) -> httpx.URL:
    """Reads a URL as written by somebody; refuses what parsers are known to disagree about."""
    if not text or len(text) > MAX_URL:
        raise EgressRefused(f"The URL must have 1 to {MAX_URL} characters.")
    if _UNSAFE.search(text):
        raise EgressRefused("The URL holds a space, a control character or a backslash.")
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise EgressRefused("The URL can't be read.") from error


def check_target(
    url: httpx.URL,
    *,
    allow_http: bool,
    allow_loopback: bool,
    vouched: frozenset[Origin] = frozenset(),
) -> Target:
    """Applies every rule that needs no name lookup; who the host is, is decided when dialling.

    An origin that is `vouched` for may be called as it is.
    """
    if (named := _named(url, vouched)) is not None:
        return named
    if url.scheme != "https" and not (allow_http and url.scheme == "http"):
        raise EgressRefused(f"Only {'http and https' if allow_http else 'https'} may be called.")
    if url.userinfo or "@" in url.netloc.decode("ascii"):
        raise EgressRefused("The URL holds a user name or password; send credentials in a header.")
    host = url.raw_host.decode("ascii")
    address = parse_address(host)
    if address is None:
        _check_name(host, allow_loopback=allow_loopback)
    return Target(url.scheme, host, _checked_port(url), address)


def _named(url: httpx.URL, vouched: frozenset[Origin]) -> Target | None:
    host, port = url.raw_host.decode("ascii"), url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    if (url.scheme, host, port) not in vouched or "@" in url.netloc.decode("ascii") or url.userinfo:
        return None
    return Target(url.scheme, host, port, parse_address(host))


def _checked_port(url: httpx.URL) -> int:
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    well_known = port in _DEFAULT_PORTS.values()
    if not well_known and (not 1024 <= port <= 65535 or port in _OTHER_PROTOCOLS):
        raise EgressRefused(
            f"Port {port} may not be called: use 80, 443 or a free port above 1023."
        )
    return port


def _check_name(host: str, *, allow_loopback: bool) -> None:
    labels = host.split(".")
    if not host or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise EgressRefused("The URL's host is missing, too long or not a plain domain name.")
    if _NUMERIC.fullmatch(labels[-1]):
        raise EgressRefused("An IPv4 address is written as four decimal numbers without zeros.")
    if allow_loopback and labels[-1] == "localhost":
        return
    if len(labels) == 1 or labels[-1] in _PRIVATE_SUFFIXES:
        raise EgressRefused("The host is a private name; a full public domain name is needed.")
