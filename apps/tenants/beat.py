"""The beat: sweeps every few seconds, in a process that does nothing else and needs no queue.

Deadlines, reaping and lost wake-ups of every org hang on it. So it waits for nobody: not for
workers that are busy, not for a broker that is down, and for a row or an answer of the database
only so long; a sweep that hangs all the same ends the process, which its supervisor starts again.
"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

import redis
import structlog
from django.conf import settings
from django.db import Error, connections
from django.utils import timezone

from apps.common import health, valkey
from apps.tenants import sweeping
from apps.tenants.backend.apart import open_apart

log = structlog.get_logger(__name__)

LOCK_MS: Final = 2_000
STATEMENT_MS: Final = 30_000
HANGS_AFTER: Final = 300.0
"""Seconds that no sweep takes, of however many orgs."""
HEARD_FOR: Final = 30
"""Seconds after its last whole sweep for which the sweeper counts as alive."""
HEARD: Final = "mandate:swept"


def keep_sweeping(sleep: Callable[[float], None] = time.sleep) -> NoReturn:
    """Sweep every SWEEP_SECONDS until the process is ended; no sweep's failure ends it."""
    connections["default"] = open_apart(lock_ms=LOCK_MS, statement_ms=STATEMENT_MS)
    sweeping.lose_sight()
    while True:
        began = time.monotonic()
        faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
        sweep_once()
        faulthandler.cancel_dump_traceback_later()
        sleep(max(0.0, began + settings.SWEEP_SECONDS - time.monotonic()))


def sweep_once() -> None:
    """One sweep, and a word that there was one; what fails is logged and tried again next time."""
    try:
        sweeping.sweep(at=timezone.now())
    except Exception:  # noqa: BLE001 - a loop's edge
        log.exception("beat.sweep_failed")
        sweeping.lose_sight()
        with suppress(Error):
            connections.close_all()
        return
    try:
        valkey.client().set(HEARD, 1, ex=HEARD_FOR)
    except redis.RedisError as error:
        log.warning("beat.not_heard", error=type(error).__name__)


def ask_beat() -> None:
    """Raise DownError if no sweep was finished lately."""
    if not valkey.client().exists(HEARD):
        raise health.DownError(f"no sweep was finished in the last {HEARD_FOR} s")
