"""Telling the sweepers which orgs write: at most once in ten seconds a process and org."""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

from apps.tenants import keys
from apps.tenants.models import OrgActivity

INTERVAL_SECONDS = 10.0
_told: dict[UUID, float] = {}


def touch(*, org_id: UUID, at: datetime) -> None:
    """Note, before its first write, that an org is about to write."""
    now = time.monotonic()
    if now - _told.get(org_id, float("-inf")) < INTERVAL_SECONDS:
        return
    OrgActivity.objects.update_or_create(org_id=org_id, defaults={"last_write_at": at})
    _told[org_id] = now


def due_at(*, org_id: UUID, at: datetime) -> None:
    """Have the sweeper visit the org at that time even if it stays quiet; the earliest wins."""
    rows = OrgActivity.objects.filter(org_id=org_id)
    rows.exclude(next_due_at__lte=at).update(next_due_at=at)


def due_again(*, at: datetime) -> None:
    """Have the sweeper go on with the org that it is visiting at its next tick: a step that works
    by batches calls it after a full one.
    """
    if (org_id := keys.current().org_id) is not None:
        due_at(org_id=org_id, at=at)
