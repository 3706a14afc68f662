"""Jobs of runs. The row is the job; a message only wakes a worker."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.runs.services.invoke import work_one


@shared_task(name="runs.work", acks_late=False)
def work(**_: Any) -> None:
    work_one(at=timezone.now())
