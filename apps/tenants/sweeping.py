"""The sweeper: finds again whatever a lost wake-up left behind, and only where there may be any.

Rows are their own outbox, so a look every few seconds guarantees every job. An org that neither
wrote lately nor has something due is visited once an hour: 500 orgs of which one is busy cost
little more than one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Q

from apps.common.jobs import enqueue
from apps.tenants import keys, schemas
from apps.tenants.backend.base import is_worn
from apps.tenants.models import Org, OrgActivity, Session

log = structlog.get_logger(__name__)

LIVELY: Final = timedelta(minutes=15)
REST: Final = timedelta(hours=1)
PATIENCE: Final = timedelta(seconds=20)

Step = Callable[[datetime], None]
_steps: list[Step] = []
_lost_sight_at = -math.inf


def every_visit(step: Step) -> Step:
    """Run `step(at)` under both keys at each visit of an org; it is quick and idempotent."""
    if step not in _steps:
        _steps.append(step)
    return step


def sweep(*, at: datetime) -> int:
    """Wake what should be under way and visit every org that may need it; how many were visited."""
    _wake_provisioner(at)
    _forget_sessions(at)
    due = list(_due(at))
    for org_id, schema in due:
        _visit(org_id, schema, at)
        if is_worn(connection.connection):
            connection.close()
    return len(due)


def lose_sight() -> None:
    """Note that the database could not be seen until now."""
    global _lost_sight_at
    _lost_sight_at = time.monotonic()


def in_sight_for() -> timedelta:
    """How long it has been seen without a break.

    Who was silent while nobody could say anything must first get the time to do so.
    """
    return timedelta(seconds=min(time.monotonic() - _lost_sight_at, REST.total_seconds()))


def _forget_sessions(at: datetime) -> None:
    """Delete sessions that are over, a batch at a time; those that hang on them go along."""
    over = Session.objects.filter(expire_date__lt=at).values_list("pk", flat=True)[:200]
    if batch := list(over):
        Session.objects.filter(pk__in=batch).delete()


def _due(at: datetime) -> list[tuple[UUID, str]]:
    """Orgs that wrote lately, have something due, or weren't visited for an hour."""
    wanted = (
        Q(last_write_at__gt=at - LIVELY)
        | Q(next_due_at__lte=at)
        | Q(visited_at=None)
        | Q(visited_at__lt=at - REST)
    )
    rows = OrgActivity.objects.filter(wanted, org__state=Org.State.ACTIVE)
    return list(rows.values_list("org_id", "org__schema_name"))


def _visit(org_id: UUID, schema: str, at: datetime) -> None:
    """One org's steps; a step that fails is logged and keeps no other org waiting.

    Without a connection there is nothing to go on with: then its error goes on.
    """
    rows = OrgActivity.objects.filter(org_id=org_id)
    rows.update(visited_at=at)
    rows.filter(next_due_at__lte=at).update(next_due_at=None)
    with keys.holding(schema, org_id):
        for step in _steps:
            try:
                step(at)
            except Exception:  # noqa: BLE001 - a loop's edge
                log.exception("sweep.step_failed", step=step.__name__, org_id=str(org_id))
                if not connection.is_usable():
                    raise


def _wake_provisioner(at: datetime) -> None:
    """Send again what the provisioner has to do: new, outdated and expired orgs."""
    stale = Org.objects.filter(state=Org.State.PROVISIONING, created_at__lt=at - PATIENCE)
    outdated = Org.objects.filter(
        state__in=[Org.State.ACTIVE, Org.State.SUSPENDED, Org.State.CLOSING]
    ).exclude(schema_version=schemas.current_version())
    over = Org.objects.filter(state=Org.State.CLOSING, erase_at__lte=at)
    for task, rows in (
        ("tenants.provision_org", stale),
        ("tenants.migrate_org", outdated),
        ("tenants.erase_org", over),
    ):
        for org_id in rows.values_list("id", flat=True)[:50]:
            enqueue(task, org_id=str(org_id))
