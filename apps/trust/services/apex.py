"""The log of the built-in org `system`, which keeps what happens on the apex."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from apps.common.actors import Actor
from apps.tenants import keys
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services.orgs import SYSTEM_SLUG
from apps.trust.services.audit import record_event


def write_apex_event(
    *,
    actor: Actor,
    action: str,
    subject_type: str,
    subject_id: str,
    at: datetime,
    new: Mapping[str, str] | None,
) -> None:
    """Record an event of the apex; while `system` itself is being made there is no log yet."""
    with keys.holding():
        system = find_org_by_slug(SYSTEM_SLUG)
    if system is None or not system.is_active:
        return
    with keys.holding(system.schema, system.id), transaction.atomic():
        record_event(
            actor=actor,
            action=action,
            subject_type=subject_type,
            subject_id=subject_id,
            at=at,
            new=new,
        )
