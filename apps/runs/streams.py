"""Event streams of runs (Server-Sent Events), as the API and the pages answer them.

What is sent are rows, so that any web process goes on after the event that a client saw last. A
stream holds nothing while it waits: no connection, no thread. Whether its client may still see the
run is asked again and again, and no stream lasts for ever: a client comes back.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.utils.encoders import JSONEncoder

from apps.common.errors import BadRequest, RateLimited
from apps.common.ids import public_id
from apps.common.json import Object
from apps.runs import selectors, spine
from apps.runs.errors import RUN
from apps.runs.gateways.wakeups import wakeups
from apps.runs.models import RunEvent
from apps.runs.selectors import RunView
from apps.tenants.backend.apart import release_connections

CONTENT_TYPE: Final = "text/event-stream"
LAST_ID: Final = "Last-Event-ID"
HEARTBEAT: Final = 10.0
"""Seconds of silence after which a stream says that it lives, and looks by itself."""
ASK_AGAIN: Final = 5.0
"""Seconds for which a client that might see the run is taken to be allowed to."""
AT_ONCE: Final = 100
SEQ_MAX: Final = 2**31 - 1
RETRY_SECONDS: Final = 5

# What streams read is read by few threads, whatever their number.
_readers: Final = ThreadPoolExecutor(4, thread_name_prefix="stream")


@dataclass(frozen=True, slots=True)
class Look:
    """What is new of a run; `run` is there once nothing can follow any more."""

    events: Sequence[RunEvent] = ()
    run: RunView | None = None
    is_allowed: bool = True


@dataclass(slots=True)
class Watch:
    """Somebody who follows a run from the event `after` on.

    `may` asks whether they still may see it; `told` is how they are told its end, and `tells` what
    of an event, None for one that they aren't told.
    """

    run_id: UUID
    after: int
    may: Callable[[], bool]
    told: Callable[[RunView], Object]
    tells: Callable[[RunEvent], Object | None]
    _asked_at: float = field(default_factory=time.monotonic)

    def look(self) -> Look:
        """Read on. An end is read before the events, for they are committed before or with it."""
        try:
            if not self._is_allowed():
                return Look(is_allowed=False)
            is_over = selectors.is_over(self.run_id)
            events = list(selectors.list_events(self.run_id, after=self.after)[:AT_ONCE])
            self.after = events[-1].seq if events else self.after
            if is_over and len(events) < AT_ONCE:
                return Look(events, selectors.get_run(self.run_id))
            return Look(events)
        finally:
            release_connections()

    def _is_allowed(self) -> bool:
        if time.monotonic() - self._asked_at < ASK_AGAIN:
            return True
        self._asked_at = time.monotonic()
        return self.may()


class Places:
    """How many streams a principal may hold open in this process."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, principal: str) -> None:
        """Raises RateLimited."""
        with self._lock:
            if self._taken[principal] >= settings.STREAMS_A_PRINCIPAL:
                raise RateLimited(
                    f"{settings.STREAMS_A_PRINCIPAL} streams at once are allowed.",
                    retry_after=RETRY_SECONDS,
                )
            self._taken[principal] += 1

    def give_back(self, principal: str) -> None:
        with self._lock:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]


places: Final = Places()


class EventStream(StreamingHttpResponse):
    """A stream that has its principal's place until it is closed."""

    def __init__(self, watch: Watch, *, principal: str) -> None:
        places.take(principal)
        self._principal: str | None = principal
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(follow(watch), content_type=CONTENT_TYPE, headers=headers)

    def close(self) -> None:
        if self._principal is not None:
            places.give_back(self._principal)
            self._principal = None
        super().close()


def stream_run(
    request: HttpRequest,
    run: RunView,
    *,
    principal: str,
    may: Callable[[], bool],
    told: Callable[[RunView], Object],
    tells: Callable[[RunEvent], Object | None],
) -> EventStream:
    """Answer with a run's events after the one that the client names, as `tells` tells them.

    Raises BadRequest, RateLimited.
    """
    after = read_last_id(request.headers.get(LAST_ID, "0"))
    if not run.is_closed:
        spine.watch_run(run.id)
    watch = Watch(run.id, after, may, told, tells)
    return EventStream(watch, principal=principal)


def read_last_id(header: str) -> int:
    """The number in a Last-Event-ID; raises BadRequest for one that no stream has sent."""
    if not (header.isascii() and header.isdigit() and len(header) <= 10 and int(header) <= SEQ_MAX):
        raise BadRequest(f"The {LAST_ID} is none of a run's events.", parameter=LAST_ID)
    return int(header)


async def follow(watch: Watch) -> AsyncIterator[bytes]:
    """The stream's bytes, until the run is over and everything of it was sent."""
    until = time.monotonic() + settings.STREAM_SECONDS
    with wakeups.waiting(watch.run_id) as bell:
        yield b"retry: 1000\n\n"
        while True:
            look = await _apart(watch.look)
            for event in look.events:
                if (data := watch.tells(event)) is not None:
                    yield _event(event.kind, _data_of(event, data), seq=event.seq)
            if look.run is not None:
                yield _event("end", watch.told(look.run))
            if look.run is not None or not look.is_allowed or time.monotonic() >= until:
                return
            if len(look.events) < AT_ONCE and not await bell.wait(HEARTBEAT):
                yield b": still here\n\n"


async def _apart(read: Callable[[], Look]) -> Look:
    """Read in one of the readers' threads, with the keys of this stream."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_readers, copy_context().run, read)


def _data_of(event: RunEvent, data: Object) -> Object:
    return {"run": public_id(RUN, event.run_id), "at": event.at, **data}


def _event(kind: str, data: Any, *, seq: int | None = None) -> bytes:
    """One event on the wire (WHATWG HTML §9.2.6); JSON has no line break of its own."""
    number = "" if seq is None else f"id: {seq}\n"
    text = json.dumps(data, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":"))
    return f"{number}event: {kind}\ndata: {text}\n\n".encode()
