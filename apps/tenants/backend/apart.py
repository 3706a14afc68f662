"""Connections beside the pool, for what must go on when every pooled one is taken, and giving
pooled ones back.
"""

from __future__ import annotations

from typing import Any, cast

from django.db import connections

from apps.tenants.backend.base import DatabaseWrapper

CONNECT_SECONDS = 2  # the least that libpq knows


def open_apart(*, lock_ms: int, statement_ms: int, alias: str = "default") -> DatabaseWrapper:
    """A connection that is made at its first statement, and waits for nothing longer than this."""
    own = cast(DatabaseWrapper, connections[alias].copy())
    options: dict[str, Any] = own.settings_dict["OPTIONS"]
    options.pop("pool", None)
    options["connect_timeout"] = CONNECT_SECONDS
    options["options"] = f"-c lock_timeout={lock_ms} -c statement_timeout={statement_ms}"
    own.settings_dict["CONN_MAX_AGE"] = None
    return own


def release_connections() -> None:
    """Give back what this thread holds, but for a connection whose transaction is still open."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
