"""The system page: whether each part of the installation answers, and what waits for it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import celery
import django
import redis
from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError

from apps.common import valkey
from apps.common.health import Readiness
from apps.tenants import schemas
from apps.tenants.models import Org
from apps.workspace.operators.door import HAS_ROWS
from apps.workspace.operators.shared_site import site
from config import env
from config.celery import app

PATIENCE_SECONDS: Final = 1.0
"""How long workers are given to answer. Busy ones do: another process of theirs listens."""
MOST_BEHIND: Final = 50
TAKEN: Final = "unacked"
"""Where the broker's client keeps what a worker has taken and not finished."""
_readiness = Readiness()


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must run: `state` is "ok", "down", or "unknown" if nobody can be asked."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """Messages that wait for a worker; None if the broker can't be asked."""

    name: str
    length: int | None


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Everything that an operator looks at first when something is wrong."""
    probed = _readiness.parts()
    has_valkey, has_database = (probed.get(name) == "ok" for name in ("valkey", "postgres"))
    context = {
        **site.each_context(request),
        "title": "System",
        "parts": [*(Part(name, state) for name, state in probed.items()), *_workers(has_valkey)],
        "queues": _queues(has_valkey),
        "versions": _versions(has_valkey, has_database),
        "current": schemas.current_version(),
        "migrations": _migrations(),
        "behind": list(_behind()[:MOST_BEHIND]),
    }
    return render(request, "operators/system.html", context)


def _workers(has_broker: bool) -> list[Part]:
    """Whether somebody works on either queue, by the names that config.processes gives them."""
    names = ("worker", "provisioner")
    if not has_broker:
        return [Part(name, "unknown", "the broker is down") for name in names]
    try:
        answers = app.control.ping(timeout=PATIENCE_SECONDS)
    except (OperationalError, redis.RedisError, OSError) as error:
        return [Part(name, "unknown", type(error).__name__) for name in names]
    hosts = sorted(host for answer in answers or [] for host in answer)
    return [_worker(name, [h for h in hosts if h.partition("@")[0] == name]) for name in names]


def _worker(name: str, hosts: list[str]) -> Part:
    if not hosts:
        return Part(name, "down", f"none answered within {PATIENCE_SECONDS:g} s")
    return Part(name, "ok", ", ".join(hosts))


def _queues(has_broker: bool) -> list[Queue]:
    names = (env.text("QUEUE_DEFAULT"), env.text("QUEUE_PROVISIONER"))
    labels = [*names, "taken by workers"]
    if not has_broker:
        return [Queue(label, None) for label in labels]
    client = valkey.client()
    try:
        lengths: list[Any] = [*(client.llen(name) for name in names), client.hlen(TAKEN)]
    except redis.RedisError:
        return [Queue(label, None) for label in labels]
    return [Queue(*pair) for pair in zip(labels, lengths, strict=True)]


def _versions(has_valkey: bool, has_database: bool) -> Mapping[str, str]:
    return {
        "Python": platform.python_version(),
        "Django": django.get_version(),
        "Celery": celery.__version__,
        "Postgres": _postgres_version() if has_database else "unknown",
        "Valkey": _valkey_version() if has_valkey else "unknown",
        "Settings": settings.SETTINGS_MODULE,
    }


def _postgres_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("show server_version")
        return str(cursor.fetchone()[0])


def _valkey_version() -> str:
    try:
        found: Any = valkey.client().info("server")
    except redis.RedisError:
        return "unknown"
    return str(found.get("valkey_version") or found.get("redis_version", "unknown"))


def _migrations() -> list[Any]:
    """How many orgs stand at which version of the schema."""
    rows = Org.objects.filter(state__in=HAS_ROWS).values("schema_version")
    return list(rows.annotate(orgs=Count("id")).order_by("-orgs", "schema_version"))


def _behind() -> Any:
    """The orgs that the provisioner has yet to migrate, the oldest first."""
    rows = Org.objects.filter(state__in=HAS_ROWS).exclude(schema_version=schemas.current_version())
    return rows.order_by("created_at").only("slug", "state", "schema_version")
