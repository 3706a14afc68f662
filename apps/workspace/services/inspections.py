"""An operator's look into an org: why and until when, on record with the org itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db import transaction

from apps.common.actors import Actor
from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.tenants import keys
from apps.tenants.selectors import OrgRef
from apps.trust.services import record_event

REASON_MAX: Final = 500


def open_inspection(
    *, org: OrgRef, reason: str, until: datetime, actor: Actor, at: datetime
) -> None:
    """Put on record in the org's own log that an operator looks into it, before they do.

    Raises Invalid for a reason that says nothing or too much.
    """
    if not 1 <= len(reason.strip()) <= REASON_MAX:
        raise Invalid.of("reason", f"Say why, in 1 to {REASON_MAX} characters.")
    _record(org, "opened", actor, at, {"reason": reason.strip(), "until": until})


def close_inspection(*, org: OrgRef, actor: Actor, at: datetime) -> None:
    """Put on record that the operator is done before the time is over."""
    _record(org, "closed", actor, at, None)


def _record(
    org: OrgRef, verb: str, actor: Actor, at: datetime, detail: dict[str, Any] | None
) -> None:
    with keys.holding(org.schema, org.id), transaction.atomic():
        record_event(
            actor=actor,
            action=f"workspace.inspection.{verb}",
            subject_type="org",
            subject_id=public_id("org", org.id),
            detail=detail,
            at=at,
        )
