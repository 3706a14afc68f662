"""The figures of an org that operators see in their list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from apps.tenants.models import Membership, OrgStats


def write_stats(
    *,
    org_id: UUID,
    runs_in_a_day: int,
    last_run_at: datetime | None,
    waiting_since: datetime | None,
    at: datetime,
) -> None:
    """Put the figures in the place of those from before; its members are counted here."""
    row = OrgStats(
        org_id=org_id,
        members=Membership.objects.filter(org_id=org_id).count(),
        runs_in_a_day=runs_in_a_day,
        last_run_at=last_run_at,
        waiting_since=waiting_since,
        counted_at=at,
    )
    figures = [field.name for field in OrgStats._meta.concrete_fields if not field.primary_key]
    OrgStats.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["org"], update_fields=figures
    )
