"""The log of the built-in org `system`, which keeps what happens on the apex."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from apps.common.actors import Actor
from apps.tenants import keys
from apps.tenants.selectors import OrgRef, find_org_by_slug
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
    also_in: OrgRef | None,
) -> None:
    """Record an event of the apex; while `system` itself is being made there is no log yet.

    With an org to tell, both logs have it or neither.
    """
    with keys.holding():
        system = find_org_by_slug(SYSTEM_SLUG)
    told = [system if system and system.is_active else None, also_in]
    with transaction.atomic():
        for org in filter(None, told):
            with keys.holding(org.schema, org.id):
                record_event(
                    actor=actor,
                    action=action,
                    subject_type=subject_type,
                    subject_id=subject_id,
                    at=at,
                    new=new,
                )
