"""Looks up TXT records: what proves that a domain is somebody's.

A client of recursive resolvers, as small as that is: the installation names them (`DNS_SERVERS`),
or the machine does. It never follows referrals and asks nobody whom a domain's owner names.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from django.conf import settings

from apps.tenants.gateways.dns_wire import (
    NO_ERROR,
    NO_SUCH_NAME,
    Answer,
    NotOurAnswer,
    question,
    read_answer,
)

Server = tuple[str, int]

RESOLV_CONF: Final = Path("/etc/resolv.conf")
PORT: Final = 53
A_TRY_SECONDS: Final = 1.5
ROUNDS: Final = 2
SERVERS_ASKED: Final = 3
_ANSWER_MAX: Final = 65_535


class LookupFailed(Exception):
    """Nobody said whether there is such a record: which proves neither that nor the contrary."""


class TxtResolver(Protocol):
    """Gives the texts of a name's TXT records, each whole; none where there is no such name.

    Raises LookupFailed, within a bounded time.
    """

    def __call__(self, name: str, /) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class NameServers:
    """Asks the servers in turn until one answers or the time for all of it is over."""

    servers: tuple[Server, ...]
    timeout: float

    def __call__(self, name: str, /) -> Sequence[str]:
        until = time.monotonic() + self.timeout
        why = "no name server is known"
        for server in self.servers[:SERVERS_ASKED] * ROUNDS:
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                return _texts(_ask(server, name, time.monotonic() + min(left, A_TRY_SECONDS)))
            except (OSError, LookupFailed, NotOurAnswer) as error:
                why = str(error) or type(error).__name__
        raise LookupFailed(why)


def resolver() -> TxtResolver:
    """The installation's own."""
    servers = settings.DNS_SERVERS or servers_of_the_machine()
    return NameServers(tuple(servers), settings.DNS_TIMEOUT_SECONDS)


def servers_of_the_machine(path: Path = RESOLV_CONF) -> tuple[Server, ...]:
    """The name servers of resolv.conf(5); none where there is no such file."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple((word[1], PORT) for word in words if len(word) > 1 and word[0] == "nameserver")


def _texts(answer: Answer) -> Sequence[str]:
    if answer.code not in {NO_ERROR, NO_SUCH_NAME}:
        raise LookupFailed(f"the name server answered with error {answer.code}")
    if answer.is_truncated:  # by TCP too: what is cut off denies nothing
        raise LookupFailed("the name server did not say all")
    return answer.texts


def _ask(server: Server, name: str, until: float) -> Answer:
    ident = secrets.randbits(16)
    asked = question(name, ident=ident)
    answer = _ask_by_datagram(server, asked, name, ident, until)
    if answer.is_truncated:
        answer = read_answer(_ask_by_stream(server, asked, until), name=name, ident=ident)
    return answer


def _ask_by_datagram(server: Server, asked: bytes, name: str, ident: int, until: float) -> Answer:
    """From a port of its own, connected: the system drops what comes from anybody else.

    What isn't the answer is passed over until the time is up, or a forged one, sent in advance,
    would keep the true one from being heard.
    """
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as line:
        line.connect(server)
        line.send(asked)
        while True:
            line.settimeout(_left(until))
            try:
                return read_answer(line.recv(_ANSWER_MAX), name=name, ident=ident)
            except NotOurAnswer:
                continue


def _ask_by_stream(server: Server, asked: bytes, until: float) -> bytes:
    with socket.create_connection(server, _left(until)) as line:
        line.sendall(struct.pack(">H", len(asked)) + asked)
        (length,) = struct.unpack(">H", _read_exactly(line, 2, until))
        return _read_exactly(line, length, until)


def _read_exactly(line: socket.socket, count: int, until: float) -> bytes:
    found = b""
    while len(found) < count:
        line.settimeout(_left(until))
        part = line.recv(count - len(found))
        if not part:
            raise LookupFailed("the name server hung up")
        found += part
    return found


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the name server did not answer in time")
    return left
