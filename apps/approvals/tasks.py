"""Jobs of approvals."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.approvals.services import outcome


@shared_task(name="approvals.tell_subject")
def tell_subject(*, approval_id: str, **_: Any) -> None:
    """Have whatever waited for a decision go on or end."""
    outcome.tell_subject(approval_id=UUID(approval_id), at=timezone.now())
