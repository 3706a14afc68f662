"""One point in time for a whole request, however many steps, hops and tries it takes.

httpx's timeouts hold for each read, so a server that sends a byte every second is never late.
"""

from __future__ import annotations

import math
import ssl
import time
from typing import Any

import httpcore


class Deadline:
    """Seconds from now; `math.inf` for connections whose owner keeps the time (SDKs, streams)."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()

    def cap(self, timeout: float | None) -> float | None:
        """The shorter of a step's own timeout and what is left; raises when nothing is."""
        left = self.left()
        if left <= 0:
            raise httpcore.ReadTimeout("The time for the whole request ran out.")
        if math.isinf(left):
            return timeout
        return left if timeout is None else min(timeout, left)


class TimedStream(httpcore.NetworkStream):
    """A connection each of whose steps ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.cap(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.cap(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        capped = self._deadline.cap(timeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, capped)
        return TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
