"""Jobs of the log of an org."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.trust.services import copying, retention


@shared_task(name="trust.copy_checkpoints")
def copy_checkpoints(**_: Any) -> None:
    """What can't be copied now is owed, and the sweeper sees to what is owed."""
    copying.copy_checkpoints(at=timezone.now())


@shared_task(name="trust.erase_audit")
def erase_audit(**_: Any) -> None:
    """By the provisioner, whose login alone may empty an event; safe to repeat."""
    retention.erase_old(at=timezone.now())
