"""A tiny DNS server on loopback, over UDP and TCP: it says what a test tells it, true or not."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

TXT, CNAME = 16, 5
Reply = Callable[[bytes], list[bytes]]


@dataclass
class NameServer:
    """Answers each query with what `reply` makes of it; nothing at all is an answer, too."""

    reply: Reply
    reply_by_stream: Reply | None = None
    port: int = 0
    asked: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)


@contextmanager
def serve(reply: Reply, reply_by_stream: Reply | None = None) -> Iterator[NameServer]:
    """Run it as long as the block lasts."""
    server = NameServer(reply, reply_by_stream)
    with (
        socket.create_server(("127.0.0.1", 0)) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        server.port = stream.getsockname()[1]
        datagrams.bind(server.address)
        datagrams.settimeout(0.05)
        stream.settimeout(0.05)
        done = threading.Event()
        threads = [
            threading.Thread(target=_datagrams, args=(server, datagrams, done)),
            threading.Thread(target=_streams, args=(server, stream, done)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield server
        finally:
            done.set()
            for thread in threads:
                thread.join()


def _datagrams(server: NameServer, line: socket.socket, done: threading.Event) -> None:
    while not done.is_set():
        with suppress(TimeoutError):
            query, sender = line.recvfrom(4096)
            server.asked.append(query)
            for answer in server.reply(query):
                line.sendto(answer, sender)


def _streams(server: NameServer, line: socket.socket, done: threading.Event) -> None:
    while not done.is_set():
        with suppress(TimeoutError):
            peer, _ = line.accept()
            with peer:
                peer.settimeout(2)
                (length,) = struct.unpack(">H", peer.recv(2))
                query = peer.recv(length)
                for answer in (server.reply_by_stream or server.reply)(query):
                    peer.sendall(struct.pack(">H", len(answer)) + answer)


def name_of(query: bytes) -> str:
    """The name that is asked for."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels)


def answer(
    query: bytes,
    *records: bytes,
    code: int = 0,
    ident: int | None = None,
    truncated: bool = False,
    question: bytes | None = None,
) -> bytes:
    """An answer to a query, with these records in it; the rest may be a lie."""
    flags = 0x8180 | code | (0x0200 if truncated else 0)
    said = struct.unpack_from(">H", query)[0] if ident is None else ident
    asked = query[12 : 12 + len(wire(name_of(query))) + 4] if question is None else question
    return struct.pack(">6H", said, flags, 1, len(records), 0, 0) + asked + b"".join(records)


def txt(owner: bytes, *strings: bytes) -> bytes:
    """A TXT record of several strings."""
    data = b"".join(bytes([len(part)]) + part for part in strings)
    return owner + struct.pack(">HHIH", TXT, 1, 60, len(data)) + data


def cname(owner: bytes, target: str) -> bytes:
    data = wire(target)
    return owner + struct.pack(">HHIH", CNAME, 1, 60, len(data)) + data


def wire(name: str) -> bytes:
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


ASKED = b"\xc0\x0c"
"""A pointer at the name in the question, as servers write it."""
