"""Jobs of an org."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.orgs.services import invitations


@shared_task(
    name="orgs.send_invitation",
    autoretry_for=(OSError,),
    retry_backoff=5,
    retry_kwargs={"max_retries": 5},
)
def send_invitation(*, invitation_id: str, **_: Any) -> None:
    """OSError: the mail server can't be reached, or refuses for now (smtplib's errors are)."""
    invitations.deliver_invitation(invitation_id=UUID(invitation_id), at=timezone.now())
