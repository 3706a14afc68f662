"""Room for runs that wait: a web process keeps threads for everything else.

A run that is carried out in its request and waits for somebody outside holds one of the process's
threads as long as that takes. If all of them did, nothing could be asked any more: no page, no
kill switch, not even whether the process is alive.
"""

from __future__ import annotations

import threading
from typing import Final

from apps.common.errors import Unavailable
from config.handler import THREADS

KEPT_FREE: Final = 32
"""Threads of a process that no waiting run may have."""
RETRY_SECONDS: Final = 5


class TooManyWait(Unavailable):
    """So many runs wait for somebody outside already that another one would be in the way."""

    code = "too_many_wait"
    title = "Too many runs are waiting for an answer from outside"

    def __init__(self) -> None:
        detail = 'Repeat the request in a moment, or use "mode": "async".'
        super().__init__(detail, retry_after=RETRY_SECONDS)


class Seats:
    """As many runs as may wait at once in this process."""

    def __init__(self, number: int) -> None:
        self._free = threading.Semaphore(number)

    def seat(self) -> Seat:
        return Seat(self._free)


class Seat:
    """Room for one run, from when it is taken to the end of the block."""

    def __init__(self, free: threading.Semaphore) -> None:
        self._free = free
        self._taken = False

    def __enter__(self) -> Seat:
        return self

    def __exit__(self, *_: object) -> None:
        if self._taken:
            self._free.release()

    def take(self) -> None:
        """Once, however often it is asked for; raises TooManyWait."""
        if not self._taken and not self._free.acquire(blocking=False):
            raise TooManyWait
        self._taken = True


seats: Final = Seats(THREADS - KEPT_FREE)
