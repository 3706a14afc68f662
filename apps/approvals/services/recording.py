"""What every change of a request does at its end: save, wake who is to be told, put on record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.approvals.models import Approval
from apps.approvals.selectors import APPROVAL
from apps.common.actors import Actor
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.trust.services import record_event

_MOVED = ("status", "approver", "glass_reason", "decided_at", "ended_at", "tell_at")


def save_move(approval: Approval) -> None:
    """Write where a request has moved to, and have its subject told after the commit."""
    approval.save(update_fields=_MOVED)
    enqueue("approvals.tell_subject", approval_id=str(approval.id))


def record(approval: Approval, what: str, actor: Actor, at: datetime, **detail: Any) -> None:
    """Put an act on record; called last, for it takes the last lock. `what` is `noun.verb`."""
    record_event(
        actor=actor,
        action=f"approvals.{what}",
        subject_type="approval",
        subject_id=public_id(APPROVAL, approval.id),
        detail={
            "title": approval.title,
            "about": {"type": approval.subject_type, "id": str(approval.subject_id)},
            "payload_digest": approval.digest,
            **detail,
        },
        at=at,
    )
