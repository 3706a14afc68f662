"""What follows from a decision, and from there being none in time. The row is the job."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction

from apps.approvals import registry
from apps.approvals.models import Approval, Clock
from apps.approvals.services import notices
from apps.approvals.services.recording import record, save_move
from apps.common.actors import SYSTEM
from apps.common.jobs import enqueue

_BATCH: Final = 100
_PATIENCE: Final = timedelta(seconds=20)
_FIRST_PAUSE: Final = timedelta(minutes=1)


def tell_subject(*, approval_id: UUID, at: datetime) -> bool:
    """Have the subject's app follow a decision; whether there was anything to tell.

    The next try is put down first, after as long a pause as the decision is old. If the app fails,
    its error goes on to the task's log and the sweeper comes again.
    """
    with transaction.atomic():
        approval = Approval.objects.select_for_update().filter(id=approval_id).first()
        if approval is None or approval.tell_at is None or approval.decided_at is None:
            return False
        approval.tell_at = at + max(_FIRST_PAUSE, at - approval.decided_at)
        approval.save(update_fields=["tell_at"])
    registry.get_subject(approval.subject_type).on_decided(approval)
    # What has moved on meanwhile has set its own time, and is told again.
    Approval.objects.filter(id=approval.id, tell_at=approval.tell_at).update(tell_at=None)
    return True


def sweep_approvals(at: datetime) -> None:
    """The sweeper's step: end what is out of time, and tell what a lost wake-up left untold."""
    expire_approvals(at=at)
    owed = Approval.objects.filter(tell_at__lt=at - _PATIENCE)
    for approval_id in owed.order_by("tell_at").values_list("id", flat=True)[:_BATCH]:
        enqueue("approvals.tell_subject", approval_id=str(approval_id))


def expire_approvals(*, at: datetime) -> int:
    """Expire what nobody decided, or used, in time; how many, at most a batch.

    Nothing depends on it: out of time is out of time from the moment itself.
    """
    with transaction.atomic():
        rows = Approval.objects.select_for_update(skip_locked=True)
        due = rows.filter(status__in=Approval.OPEN, expires_at__lte=Clock())
        expired = list(due.order_by("expires_at")[:_BATCH])
        for approval in expired:
            approval.expire(at=at)
            save_move(approval)
        for approval in expired:
            notices.tell_expired(approval, at)
        for approval in expired:
            record(approval, "request.expired", SYSTEM, at)
    return len(expired)
