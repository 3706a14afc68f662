"""Jobs of notices. Their arguments are ids: what is sent stands in the rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.notify.services import delivering, mailing


@shared_task(name="notify.send_mails")
def send_mails(**_: Any) -> None:
    """Mail what is owed; what a mail server refuses is owed still, and the sweeper sees to it."""
    mailing.send_mails(at=timezone.now())


@shared_task(name="notify.send_digest")
def send_digest(*, digest_id: str, **_: Any) -> None:
    """Mail one member's digest if it is due."""
    mailing.send_digest(digest_id=UUID(digest_id), at=timezone.now())


@shared_task(name="notify.deliver")
def deliver(*, delivery_id: str, **_: Any) -> None:
    """Send one message to its channel if it is due."""
    delivering.deliver(delivery_id=UUID(delivery_id), at=timezone.now())
