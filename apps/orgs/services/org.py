"""The org itself: its name, closing it, and thinking better of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import transaction

from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.orgs.principals import Principal
from apps.orgs.selectors import ORG
from apps.tenants.selectors import OrgRef
from apps.tenants.services import orgs
from apps.trust.services import record_event

NAME_MAX: Final = 80


def rename_org(*, name: str, by: Principal, at: datetime) -> None:
    """Give the org another name; its address stays. The same name is no change.

    Raises Invalid for a name that won't do.
    """
    wanted = name.strip()
    if not 1 <= len(wanted) <= NAME_MAX:
        raise Invalid.of("name", f"Use 1 to {NAME_MAX} characters.")
    with transaction.atomic():
        old = orgs.rename_org(org_id=by.org_id, name=wanted)
        if old != wanted:
            record_event(
                actor=by.actor,
                action="orgs.org.renamed",
                subject_type="org",
                subject_id=public_id(ORG, by.org_id),
                old={"name": old},
                new={"name": wanted},
                at=at,
            )


def close_org(*, by: Principal, at: datetime) -> OrgRef:
    """Shut the org's doors with this commit and have it erased after the grace period.

    Raises Conflict if it is closing already.
    """
    with transaction.atomic():
        org = orgs.close_org(org_id=by.org_id, actor=by.actor, at=at)
        record_event(
            actor=by.actor,
            action="orgs.org.closed",
            subject_type="org",
            subject_id=public_id(ORG, by.org_id),
            new={"state": org.state, "erased_after": at + orgs.GRACE},
            at=at,
        )
    return org


def reopen_org(*, by: Principal, at: datetime) -> OrgRef:
    """Undo a closing within its grace period.

    The org's host is shut by then: the apex finds `by` under the org's keys. Raises Conflict if
    the org isn't closing.
    """
    with transaction.atomic():
        org = orgs.reopen_org(org_id=by.org_id, actor=by.actor)
        record_event(
            actor=by.actor,
            action="orgs.org.reopened",
            subject_type="org",
            subject_id=public_id(ORG, by.org_id),
            new={"state": org.state},
            at=at,
        )
    return org
