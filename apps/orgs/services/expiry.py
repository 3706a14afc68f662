"""What ends by itself in an org, found at each of the sweeper's visits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from apps.common.actors import SYSTEM
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.orgs.models import IdempotencyRecord, Invitation
from apps.tenants.services.key_index import forget_invitation
from apps.trust.services.audit import record_event

REMEMBERED: Final = timedelta(hours=24)
BATCH: Final = 100


def expire(at: datetime) -> None:
    """Forget old answers, end invitations that are over, and send those whose wake-up was lost."""
    IdempotencyRecord.objects.filter(created_at__lt=at - REMEMBERED).delete()
    pending = Invitation.objects.filter(state=Invitation.State.PENDING)
    for invitation in pending.filter(expires_at__lte=at)[:BATCH]:
        _expire(invitation, at)
    unsent = pending.filter(token_hash=None, created_at__lt=at - timedelta(seconds=20))
    for invitation_id in unsent.values_list("id", flat=True)[:BATCH]:
        enqueue("orgs.send_invitation", invitation_id=str(invitation_id))


def _expire(invitation: Invitation, at: datetime) -> None:
    with transaction.atomic():
        if invitation.token_hash:
            forget_invitation(token_hash=bytes(invitation.token_hash))
        invitation.expire(at=at)
        invitation.save()
        record_event(
            actor=SYSTEM,
            action="orgs.invitation.expired",
            subject_type="invitation",
            subject_id=public_id("inv", invitation.id),
            detail={"email": invitation.email},
            at=at,
        )
