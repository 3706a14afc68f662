"""Counting an org for the operators' list, a step of the sweeper's visits."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apps.runs import selectors as runs
from apps.runs.states import RunStatus
from apps.tenants import keys
from apps.tenants.services.stats import write_stats

EVERY_SECONDS: Final = 60.0
"""A lively org is visited every few seconds, and counted this often."""
DAY: Final = timedelta(days=1)
RUNS_COUNTED: Final = 10_000
_counted: dict[UUID, float] = {}


def count_org(at: datetime) -> None:
    """Write down how the org does whose keys are held, if that wasn't done just now."""
    org_id, now = keys.current().org_id, time.monotonic()
    if org_id is None or now - _counted.get(org_id, float("-inf")) < EVERY_SECONDS:
        return
    counted = runs.count_recent_runs(since=at - DAY, most=RUNS_COUNTED)
    write_stats(
        org_id=org_id,
        runs_in_a_day=min(counted, RUNS_COUNTED),
        last_run_at=_first("-created_at", "-id"),
        waiting_since=_first("created_at", "id", status=RunStatus.QUEUED),
        at=at,
    )
    _counted[org_id] = now


def _first(*order: str, status: str = "") -> datetime | None:
    """When the first run in that order came."""
    rows = runs.list_runs(status=status).order_by(*order)
    return rows.values_list("created_at", flat=True).first()
