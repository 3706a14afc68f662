"""Saying that executions live: one thread a process renews the leases of all that it works on.

An execution that isn't heard of for `spine.LEASE` loses its run to the reaper. Renewing beside the
work and not within it lets a runtime wait on something for as long as it may. The thread has a
connection of its own, since requests may take the whole pool, and waits for no row and no answer so
long that the next renewal would be late.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog
from django.db import Error, OperationalError, connection, connections
from psycopg.errors import LockNotAvailable

from apps.runs import spine
from apps.runs.spine import Hold
from apps.tenants import keys
from apps.tenants.backend.apart import open_apart
from apps.tenants.keys import Keys

log = structlog.get_logger(__name__)

INTERVAL: Final = spine.LEASE.total_seconds() / 3
"""Two renewals may fail before a lease runs out."""


class Lease:
    """One execution's claim; `lost` is set once the run is known to be somebody else's."""

    def __init__(self, hold: Hold, held_keys: Keys) -> None:
        self.hold = hold
        self.keys = held_keys
        self.lost = threading.Event()


class Keeper:
    """Renews what is registered, every `interval` seconds, as long as anything is."""

    def __init__(self, *, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._leases: set[Lease] = set()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    @contextmanager
    def keeping(self, hold: Hold) -> Iterator[Lease]:
        """Keep a root run's lease while the block runs."""
        lease = Lease(hold, keys.current())
        with self._lock:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():  # a forked child has none
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                self._leases.discard(lease)

    def _run(self) -> None:
        patience = int(self._interval * 1000)
        connections["default"] = open_apart(lock_ms=patience // 5, statement_ms=patience)
        while True:
            with self._lock:
                self._wake.wait(self._interval)
                leases = list(self._leases)
            for held in {lease.keys for lease in leases}:
                try:
                    _renew_org(held, [lease for lease in leases if lease.keys == held])
                except Exception:  # noqa: BLE001 - a loop's edge: all that is at work hangs on it
                    log.warning("leases.not_renewed", schema=held.schema, exc_info=True)
                    _let_go()
            if not leases:
                _let_go()


def _let_go() -> None:
    """Close the thread's connection; the next renewal makes another."""
    with suppress(Error):
        connection.close()


def _renew_org(held: Keys, leases: list[Lease]) -> None:
    """Renew an org's in one statement, or one by one if somebody has locked one of the rows."""
    try:
        with keys.holding(held.schema, held.org_id):
            alive = spine.renew_leases([lease.hold for lease in leases])
    except OperationalError as error:
        if len(leases) == 1 or not isinstance(error.__cause__, LockNotAvailable):
            raise
        _renew_each(held, leases)
        return
    for lease in leases:
        if lease.hold.run_id not in alive:
            lease.lost.set()


def _renew_each(held: Keys, leases: list[Lease]) -> None:
    for lease in leases:
        try:
            _renew_org(held, [lease])
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise


keeper: Final = Keeper()
