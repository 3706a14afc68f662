"""Requests to the one OPA server of this installation, each of which ends by its asker's deadline.

The address is the operator's, the same for every org, and mostly an internal one, which
`common.egress` refuses. So this is a client of its own: it goes to that address only, follows no
redirect and knows no proxy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import httpcore

from apps.common.egress.deadline import Deadline, TimedStream
from apps.common.json import Object

KEPT_CONNECTIONS: Final = 8
MAX_BYTES: Final = 2**20

_until: ContextVar[float] = ContextVar("mandate_opa_until")


class NotReachedError(Exception):
    """The server gave no answer that can be read."""


class LateError(NotReachedError):
    """It didn't answer in time."""


class TooLargeError(NotReachedError):
    """What it answered is more than is read."""


class RefusedError(Exception):
    """The server answered with errors; what OPA sends is in `body`."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(f"OPA answered {status}")
        self.status, self.body = status, body


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Everything asked in the block has come to an end by then."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


class OpaClient:
    """Call it `within` a deadline."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._headers = [("Authorization", f"Bearer {token}")] if token else []
        self._pool = httpcore.ConnectionPool(
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            network_backend=_TimedBackend(),
        )

    def ask(self, method: str, path: str, body: bytes, kind: str = "application/json") -> Object:
        """The object that is answered; raises RefusedError or a NotReachedError."""
        try:
            with self._pool.stream(
                method,
                f"{self._url}{path}",
                headers=[*self._headers, ("Content-Type", kind)],
                content=body,
                extensions={"timeout": {"pool": seconds_left()}},
            ) as answer:
                found = _read(answer)
        except httpcore.TimeoutException:
            raise LateError from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise NotReachedError(str(error)) from None
        if answer.status != 200:
            raise RefusedError(answer.status, found)
        return found

    def close(self) -> None:
        self._pool.close()


class _AskersDeadline(Deadline):
    """That of whoever asks now: a connection serves many, one after another."""

    def __init__(self) -> None:
        super().__init__()

    def left(self) -> float:
        return seconds_left()


class _TimedBackend(httpcore.SyncBackend):
    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = _AskersDeadline().cap(None)
        return TimedStream(super().connect_tcp(host, port, *args, **kwargs), _AskersDeadline())


def seconds_left() -> float:
    """Until the deadline of the block that this is in."""
    return _until.get() - time.monotonic()


def _read(answer: httpcore.Response) -> Object:
    body = bytearray()
    for part in answer.iter_stream():
        body += part
        if len(body) > MAX_BYTES:
            raise TooLargeError("The answer is too large.")
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotReachedError("The answer can't be read.")
    return found
