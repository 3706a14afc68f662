"""Jobs of the log of an org."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.trust.services import copying


@shared_task(name="trust.copy_checkpoints")
def copy_checkpoints(**_: Any) -> None:
    """What can't be copied now is owed, and the sweeper sees to what is owed."""
    copying.copy_checkpoints(at=timezone.now())
