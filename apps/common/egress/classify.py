"""Tells addresses of the public internet from all others.

`ipaddress.is_global` is not enough. On Python 3.11 it passes multicast, the 6to4 relays, Oracle's
metadata service (192.0.0.192), site-local IPv6, every IPv4 address written as NAT64, 6to4, SIIT or
IPv4-compatible IPv6, and it can't know that one public address is a cloud's own control channel.
So the registries below decide, and `is_global` may only add a refusal.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), RFC 4291, RFC 6052.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_FORBIDDEN: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host or network"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a carrier's or cloud's shared network"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud's control channel"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "the former 6to4 relays"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
        ("::1/128", "this machine"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "Teredo, or reserved for protocols"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "a 6to4 tunnel into IPv4"),
        ("3fff::/20", "documentation"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = 0x5EFE


def unmapped(address: IPAddress) -> IPAddress:
    """The address that is reached when this one is dialled: ::ffff:a.b.c.d is a.b.c.d itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def objection(
    address: IPAddress, *, allow_loopback: bool = False, forbidden: tuple[str, ...] = ()
) -> str | None:
    """Says why an address must not be called; None if it is on the public internet.

    A NAT64 address is judged by the IPv4 address inside, so that hosts behind DNS64 stay
    reachable. Other tunnels (6to4, Teredo, ISATAP, IPv4-compatible) are refused whatever they
    hold: nobody serves from them, and each is a way to write an internal address.
    """
    reached = _inner_ipv4(address)
    if allow_loopback and reached.is_loopback:
        return None
    return (
        _first_reason(reached, _FORBIDDEN)
        or _first_reason(reached, _own_networks(forbidden))
        or _first_reason(address, _own_networks(forbidden))
        or _not_global(reached)
    )


def _inner_ipv4(address: IPAddress) -> IPAddress:
    plain = unmapped(address)
    if isinstance(plain, IPv6Address) and plain in _NAT64:
        return IPv4Address(int(plain) & 0xFFFFFFFF)
    return plain


def _first_reason(address: IPAddress, table: Iterable[tuple[IPNetwork, str]]) -> str | None:
    return next((reason for network, reason in table if address in network), None)


@lru_cache(maxsize=8)
def _own_networks(networks: tuple[str, ...]) -> tuple[tuple[IPNetwork, str], ...]:
    return tuple((ip_network(network), "a network of this installation") for network in networks)


def _not_global(address: IPAddress) -> str | None:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "an address with a zone"
        if address not in _GLOBAL_UNICAST:
            return "not global unicast"
        if (int(address) >> 32) & 0xFDFFFFFF == _ISATAP:
            return "an ISATAP tunnel into IPv4"
    return None if address.is_global else "not a public network"


def parse_address(text: str) -> IPAddress | None:
    """Reads an address in canonical notation; None for anything else, also 127.1 and 0x7f.0.0.1."""
    try:
        return ip_address(text)
    except ValueError:
        return None
