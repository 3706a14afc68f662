"""Jobs of runs. The row is the job; a message only wakes a worker."""

from __future__ import annotations

import time
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from apps.common.jobs import enqueue
from apps.runs.services.invoke import work_one

TURN: Final = 5.0
"""Seconds after which an org's further runs wait until the others had their turn."""


@shared_task(name="runs.work", acks_late=False)
def work(**_: Any) -> None:
    """Carry out what waits in the org, run by run."""
    until = time.monotonic() + TURN
    while work_one(at=timezone.now()):
        if time.monotonic() >= until:
            enqueue("runs.work")
            return
