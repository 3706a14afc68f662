"""Saying that executions live: one thread a process renews the leases of all that it works on.

An execution that isn't heard of for `spine.LEASE` loses its run to the reaper. Renewing beside the
work and not within it lets a runtime wait on something for as long as it may.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from django.db import Error, connection

from apps.runs import spine
from apps.runs.spine import Hold
from apps.tenants import keys
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
    """Renews what is registered, every INTERVAL, as long as anything is."""

    def __init__(self) -> None:
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
        while True:
            with self._lock:
                self._wake.wait(INTERVAL)
                leases = list(self._leases)
            self.renew(leases)

    def renew(self, leases: list[Lease]) -> None:
        """Renew them org by org; what fails is tried again next time."""
        for held in {lease.keys for lease in leases}:
            try:
                self._renew_org(held, [lease for lease in leases if lease.keys == held])
            except Error:
                log.warning("leases.not_renewed", exc_info=True)
        connection.close()

    def _renew_org(self, held: Keys, leases: list[Lease]) -> None:
        with keys.holding(held.schema, held.org_id):
            alive = spine.renew_leases([lease.hold for lease in leases])
        for lease in leases:
            if lease.hold.run_id not in alive:
                lease.lost.set()


keeper: Final = Keeper()
