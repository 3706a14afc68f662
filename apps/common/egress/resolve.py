"""Turns a host into the addresses that may be dialled, or refuses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import httpcore
import structlog

from apps.common.egress import classify
from apps.common.egress.classify import IPAddress
from apps.common.egress.errors import EgressRefused
from apps.common.egress.policy import EgressPolicy

log = structlog.get_logger(__name__)


class Resolver(Protocol):
    """Looks a name up within `timeout` seconds; raises OSError (TimeoutError too) if it can't."""

    def __call__(self, host: str, port: int, timeout: float) -> Sequence[str]: ...


def system_resolver(host: str, port: int, timeout: float) -> Sequence[str]:
    """Asks the operating system, in a thread that is left behind when time runs out.

    getaddrinfo can't be interrupted, and a name server of the other side may stall it for half a
    minute. A thread of its own per lookup: a pool could be filled by such stalls, and its threads
    would be gone after a worker's fork.
    """
    answer: Future[Sequence[str]] = Future()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answer.set_exception(OSError(str(error)))
        else:
            answer.set_result([str(entry[4][0]) for entry in found])

    threading.Thread(target=look_up, name="egress-dns", daemon=True).start()
    return answer.result(timeout)


def checked_addresses(
    host: str, port: int, *, resolver: Resolver, policy: EgressPolicy, timeout: float
) -> tuple[IPAddress, ...]:
    """The host's addresses, all of them public, in the order to try them.

    One forbidden address among the answers refuses all: whoever mixes them in waits for the moment
    when only that one is left. Errors are httpcore's, since this runs where a socket is opened.
    """
    literal = classify.parse_address(host)
    if literal is not None:
        return (check_address(host, literal, policy=policy, port=port),)
    answers = list(dict.fromkeys(_look_up(host, port, resolver, timeout)))
    if not answers:
        raise httpcore.ConnectError("The host's name does not resolve to any address.")
    found = [classify.parse_address(answer) for answer in answers]
    return tuple(check_address(host, address, policy=policy, port=port) for address in found)


def _look_up(host: str, port: int, resolver: Resolver, timeout: float) -> Sequence[str]:
    try:
        return resolver(host, port, timeout)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("The host's name could not be resolved in time.") from error
    except OSError as error:
        raise httpcore.ConnectError("The host's name does not resolve.") from error


def check_address(
    host: str, address: IPAddress | None, *, policy: EgressPolicy, port: int
) -> IPAddress:
    """The address as it is dialled; raises EgressRefused for one that isn't public, unless the
    policy vouches for what answers there.
    """
    if address is not None and policy.vouches_for(host, port):
        return classify.unmapped(address)
    reason = "not an address" if address is None else _objection(address, policy)
    if address is None or reason is not None:
        log.warning("egress.refused", host=host, address=str(address), reason=reason)
        raise EgressRefused("The host is not on the public internet.", host=host)
    return classify.unmapped(address)


def _objection(address: IPAddress, policy: EgressPolicy) -> str | None:
    return classify.objection(
        address, allow_loopback=policy.allow_loopback, forbidden=policy.forbidden_networks
    )
