"""The one client of Valkey for what may be lost: limits, health. Impatient, no retries."""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings

PATIENCE_SECONDS = 0.5


def client() -> redis.Redis:
    """The process's client for REDIS_URL; its pool is shared by the threads."""
    return _client(settings.REDIS_URL)


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=None,
    )
