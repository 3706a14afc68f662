"""Whether somebody works: asked of the workers themselves, for the state that pages show."""

from __future__ import annotations

from typing import Final

import redis
from kombu.exceptions import OperationalError

from config.celery import app

PROCESSES: Final = {"worker": "workers", "provisioner": "provisioner"}
"""The processes that take jobs (config.processes), and the part that each is for pages."""
PATIENCE_SECONDS: Final = 1.0


def ask_workers() -> dict[str, str]:
    """Each kind of worker, "ok" or "down"; a broker that can't be asked says nothing of them."""
    try:
        answers = app.control.ping(timeout=PATIENCE_SECONDS)
    except (OperationalError, redis.RedisError, OSError):
        return {}
    heard = {host.partition("@")[0] for answer in answers or [] for host in answer}
    return {part: "ok" if name in heard else "down" for name, part in PROCESSES.items()}
