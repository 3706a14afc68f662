"""How an org does, in a few words, from what its row and its figures say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from apps.tenants import schemas
from apps.tenants.models import Org, OrgStats

UNSEEN: Final = timedelta(hours=2)
"""The sweeper visits every org once an hour at least."""
STUCK: Final = timedelta(minutes=5)
"""Longer than a wake-up, a lost one included, takes to reach a worker."""


def health_of(org: Org, *, at: datetime) -> str:
    """The worst that is known of an org; "ok" if nothing is."""
    if org.state == Org.State.PROVISIONING:
        late = at - org.created_at > STUCK
        return "Being made for too long: is the provisioner up?" if late else "Being made"
    if org.state == Org.State.FAILED:
        return f"Could not be made: {org.failure}"
    if org.state != Org.State.ACTIVE:
        return str(Org.State(org.state).label)
    if org.schema_version != schemas.current_version():
        return "Waits for its migration"
    stats: OrgStats | None = getattr(org, "stats", None)
    return _of_figures(stats, at) if stats else "Not counted yet"


def _of_figures(stats: OrgStats, at: datetime) -> str:
    if at - stats.counted_at > UNSEEN:
        return "Not visited for too long: is the beat up?"
    if stats.waiting_since and stats.counted_at - stats.waiting_since > STUCK:
        return f"Runs have waited since {stats.waiting_since:%F %H:%M} UTC: are workers up?"
    return "ok"
