"""Requests over open connections, one after the other on each, and what they cost."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from itertools import chain

import psutil


@dataclass(frozen=True)
class Target:
    """One kind of request; `body` makes it a POST with an Idempotency-Key of its own each time,
    and `$N` in it a text of its own.
    """

    name: str
    path: str
    body: bytes = b""
    stock: bool = False


@dataclass
class Figures:
    """What was measured of one kind at one number of connections; times in seconds."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    errors: int = 0
    web: float = 0.0
    postgres: float = 0.0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def cpu(self, seconds: float) -> float:
        """Microseconds a request."""
        return seconds / len(self.latencies) * 1e6


class Client:
    """Speaks HTTP/1.1 with one key to the product and to stock Django, each a port and a process.

    Their CPU is counted together: whoever isn't asked idles.
    """

    def __init__(self, key: str, product: tuple[int, int], stock: tuple[int, int]) -> None:
        self._key = key
        self._ports = {False: product[0], True: stock[0]}
        self._roots = [psutil.Process(pid) for _, pid in (product, stock)]

    def measure(self, target: Target, *, connections: int, seconds: float, into: Figures) -> None:
        """Add a slice of load to the figures."""
        before, began = self._cpu(), time.perf_counter()
        asyncio.run(self._all(target, connections, seconds, into))
        into.seconds += time.perf_counter() - began
        after = self._cpu()
        into.web += after[0] - before[0]
        into.postgres += after[1] - before[1]

    async def _all(self, target: Target, connections: int, seconds: float, into: Figures) -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(self._one(target, end, into) for _ in range(connections)))

    async def _one(self, target: Target, end: float, into: Figures) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[target.stock])
        while time.perf_counter() < end:
            began = time.perf_counter()
            writer.write(self._request(target))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            into.latencies.append(time.perf_counter() - began)
            into.errors += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    def _request(self, target: Target) -> bytes:
        lines = [
            f"{'POST' if target.body else 'GET'} {target.path} HTTP/1.1",
            f"Host: localhost:{self._ports[target.stock]}",
            f"Authorization: Bearer {self._key}",
        ]
        number = uuid.uuid4().hex
        body = target.body.replace(b"$N", number.encode())
        if body:
            lines += [
                f"Idempotency-Key: {number}",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
            ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _cpu(self) -> tuple[float, float]:
        """Seconds of CPU that the web processes and Postgres have used. What a web process has
        started, policies' processes, counts as its own.
        """
        web = postgres = 0.0
        webs: set[int] = set()
        for process in chain(*(root.children(recursive=True) for root in self._roots)):
            try:
                used = sum(process.cpu_times()[:2])
                if process.name() == "postgres":
                    postgres += used
                elif process.ppid() in webs or process.environ().get("MANDATE_PROCESS") == "web":
                    webs.add(process.pid)
                    web += used
            except psutil.Error:
                continue
        return web, postgres


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0
