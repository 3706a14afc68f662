"""Whether the process lives, and whether what it needs answers.

Liveness asks nothing: a process that is restarted because the database is down only comes back to
the same. Readiness names the part that is down, never why; the reason goes to the log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import psycopg
import redis
import structlog
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg import sql

from apps.common import valkey

log = structlog.get_logger(__name__)

Check = Callable[[], None]

PATIENCE_SECONDS: Final = 2
REMEMBER_SECONDS: Final = 1.0


class DownError(Exception):
    """A part does not answer as it must; the text is for the log."""


_checks: dict[str, Check] = {}
_beside: set[str] = set()


def register(name: str, check: Check, *, serves: bool = True) -> None:
    """Add a part to readiness; `check` returns, or raises DownError (or its client's error).

    One that `serves` no request is named when it is down, and requests go on.
    """
    _checks[name] = check
    (_beside.discard if serves else _beside.add)(name)


def ask_postgres() -> None:
    """Log in and ask, on a connection of its own: a busy pool isn't a database that is down."""
    with _connection() as connection:
        connection.execute("select 1")


def ask_valkey() -> None:
    valkey.client().ping()


def ask_migrations() -> None:
    """Compare the shared schema with the code's newest migrations; a fresh one is asked no more."""
    if _migrated.is_set():
        return
    table = sql.Identifier(getattr(settings, "PUBLIC_SCHEMA_NAME", "public"), "django_migrations")
    query = sql.SQL("select app, name from {} where app = any(%s)").format(table)
    wanted = _newest_migrations()
    with _connection() as connection:
        rows = connection.execute(query, [[app for app, _ in wanted]]).fetchall()
    if missing := sorted(wanted - {(app, name) for app, name in rows}):
        raise DownError(f"not migrated: {missing}")
    _migrated.set()


_migrated = threading.Event()
register("postgres", ask_postgres)
register("valkey", ask_valkey)
register("migrations", ask_migrations)


def ask_parts() -> dict[str, str]:
    """Ask each part now: "ok" or "down" by name."""
    return {name: _ask(name, check) for name, check in list(_checks.items())}


class Readiness:
    """The parts' answers, remembered for a second: anybody may ask, and asking costs a login."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._parts: dict[str, str] = {}

    def parts(self) -> dict[str, str]:
        """Each part by name, "ok" or "down"."""
        with self._lock:
            if self._clock() - self._asked_at >= REMEMBER_SECONDS:
                self._parts = ask_parts()
                self._asked_at = self._clock()
            return self._parts


_readiness = Readiness()


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that this process answers, on any host, without touching anything."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether requests can be served, 503 naming the parts that are down if not.

    `degraded` is 200: all are served, but what works beside them doesn't.
    """
    parts = _readiness.parts()
    down = {name for name, state in parts.items() if state != "ok"}
    status = "unavailable" if down - _beside else "degraded" if down else "ok"
    return JsonResponse(
        {"status": status, "parts": parts}, status=503 if status == "unavailable" else 200
    )


def _ask(name: str, check: Check) -> str:
    try:
        check()
    except (DownError, psycopg.Error, redis.RedisError, OSError) as error:
        log.error("not ready", part=name, reason=str(error))
        return "down"
    return "ok"


def _connection() -> psycopg.Connection[tuple[Any, ...]]:
    database = connections["default"].settings_dict
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        connect_timeout=PATIENCE_SECONDS,
        options=f"-c statement_timeout={PATIENCE_SECONDS * 1000}",
        autocommit=True,
    )


@lru_cache(maxsize=1)
def _newest_migrations() -> frozenset[tuple[str, str]]:
    """The leaves of the shared apps' migrations, as the files on disk say."""
    shared = getattr(settings, "SHARED_APPS", settings.INSTALLED_APPS)
    labels = {config.label for config in apps.get_app_configs() if config.name in shared}
    leaves = MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes()
    return frozenset(leaf for leaf in leaves if leaf[0] in labels)
