"""Jobs of an org."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.orgs.services import invitations


@shared_task(name="orgs.send_invitation")
def send_invitation(*, invitation_id: str, **_: Any) -> None:
    """Once: a mail that doesn't leave is owed, and the sweeper sees to what is owed."""
    invitations.deliver_invitation(invitation_id=UUID(invitation_id), at=timezone.now())
