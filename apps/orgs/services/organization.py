"""What the org's own people do with the org as a whole; each on the org's own record."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.orgs.principals import Principal
from apps.tenants import keys
from apps.tenants.selectors import OrgRef
from apps.tenants.services import orgs
from apps.trust.services import record_event

NAME_MAX = 80


def rename(*, name: str, by: Principal, at: datetime) -> None:
    """Give the org another name; its address stays. The same name is no change."""
    wanted = name.strip()
    if not 1 <= len(wanted) <= NAME_MAX:
        raise Invalid.of("name", f"Use 1 to {NAME_MAX} characters.")
    with transaction.atomic():
        old = orgs.rename_org(org_id=by.org_id, name=wanted)
        if old != wanted:
            _record("renamed", by, at, old={"name": old}, new={"name": wanted})


def close(*, by: Principal, at: datetime) -> OrgRef:
    """Shut the org's doors now and have everything erased after the grace period."""
    with transaction.atomic():
        closed = orgs.close_org(org_id=by.org_id, at=at)
        _record("closed", by, at, new={"erased_at": (at + orgs.GRACE).isoformat()})
    return closed


def reopen(*, by: Principal, org: OrgRef, at: datetime) -> OrgRef:
    """Undo a closing within its grace period; asked for on the apex, for the org's doors are shut."""
    with transaction.atomic():
        reopened = orgs.reopen_org(org_id=org.id)
        with keys.holding(org.schema, org.id):
            _record("reopened", by, at)
    return reopened


def _record(
    verb: str,
    by: Principal,
    at: datetime,
    *,
    old: dict[str, str] | None = None,
    new: dict[str, str] | None = None,
) -> None:
    record_event(
        actor=by.actor,
        action=f"orgs.org.{verb}",
        subject_type="org",
        subject_id=public_id("org", by.org_id),
        old=old,
        new=new,
        at=at,
    )
