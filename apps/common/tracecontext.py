"""The two names of a request: its id, and its place in a distributed trace (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from apps.common.ids import uuid7

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span: 32 and 16 hex digits, and whether its trace is being recorded."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self) -> TraceContext:
        """A new span of the same trace."""
        return TraceContext(self.trace_id, secrets.token_hex(8), self.sampled)


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def request_id(offered: str | None) -> str:
    """Keep the caller's id if it is well-formed, so that both sides can find it, or make one.

    Well-formed is 8 to 64 letters, digits, dots, dashes and underscores: nothing that could break
    a log line or a header.
    """
    return offered if offered and _REQUEST_ID.fullmatch(offered) else str(uuid7())


def read_traceparent(header: str | None) -> TraceContext | None:
    """Parse a `traceparent` (Trace Context §3.2); None for one that must be ignored.

    A later version may have more fields after these, version ff is none, and all-zero ids are
    invalid.
    """
    match = _TRACEPARENT.fullmatch(header or "")
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if (
        version == "ff"
        or (version == "00" and rest)
        or not int(trace_id, 16)
        or not int(span_id, 16)
    ):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def new_trace() -> TraceContext:
    """Begin a trace of our own; unrecorded until an exporter says otherwise."""
    digits = secrets.token_hex(24)
    return TraceContext(digits[:32], digits[32:])


def enter(context: TraceContext | None) -> None:
    """Make a span the present one; outgoing calls carry it from here on."""
    _current.set(context)


@contextmanager
def within(context: TraceContext) -> Iterator[None]:
    """Make a span the present one while the block runs."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def outgoing_headers() -> dict[str, str]:
    """The headers by which a call to someone else goes on below the present span."""
    context = _current.get()
    return {"traceparent": context.traceparent} if context else {}
