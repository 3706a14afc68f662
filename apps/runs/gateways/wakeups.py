"""Postgres says which runs have events: one connection a process listens for all of its streams.

A wake-up says no more than "look again". Whoever waits looks when it begins and every so often
besides, so that one that gets lost costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connections
from psycopg import Connection, OperationalError, sql

from apps.tenants.backend.apart import open_apart

log = structlog.get_logger(__name__)

CHANNEL: Final = "run_events"
LOOK_UP: Final = 5.0
"""Seconds after which the thread looks whether anybody waits still."""
PAUSE: Final = 1.0


class Bell:
    """Rung from the listening thread; waited for on the loop that it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        with suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within that time, or had since it was waited for the last time."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Wakeups:
    """Who waits for which run, and the thread that listens as long as anybody does."""

    def __init__(self) -> None:
        self._bells: dict[UUID, set[Bell]] = defaultdict(set)
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    @contextmanager
    def waiting(self, run_id: UUID) -> Iterator[Bell]:
        """A bell that rings when the run may have new events."""
        bell = Bell()
        with self._lock:
            self._bells[run_id].add(bell)
            if self._thread is None or not self._thread.is_alive():  # a forked child has none
                self._thread = threading.Thread(target=self._run, name="wakeups", daemon=True)
                self._thread.start()
            self._wanted.notify()
        try:
            yield bell
        finally:
            with self._lock:
                self._bells[run_id].discard(bell)
                if not self._bells[run_id]:
                    del self._bells[run_id]

    def _run(self) -> None:
        while True:
            with self._lock:
                self._wanted.wait_for(lambda: bool(self._bells))
            try:
                self._listen()
            except Exception:  # noqa: BLE001 - a loop's edge: every stream of the process hangs on it
                log.warning("wakeups.not_heard", exc_info=True)
                time.sleep(PAUSE)

    def _listen(self) -> None:
        """Listen until nobody waits; what happened before is looked at by everybody at once."""
        connections["default"] = apart = open_apart(lock_ms=1000, statement_ms=5000)
        try:
            apart.ensure_connection()
            heard: Connection[Any] = apart.connection
            heard.execute(sql.SQL("listen {}").format(sql.Identifier(CHANNEL)))
            self._ring(None)
            while self._bells:
                for notice in heard.notifies(timeout=LOOK_UP):
                    self._ring(UUID(notice.payload))
        finally:
            with suppress(OperationalError):
                apart.close()

    def _ring(self, run_id: UUID | None) -> None:
        """Wake those who wait for the run, or all of them."""
        with self._lock:
            known = self._bells.values() if run_id is None else [self._bells.get(run_id, ())]
            bells = [bell for some in known for bell in some]
        for bell in bells:
            bell.ring()


wakeups: Final = Wakeups()
