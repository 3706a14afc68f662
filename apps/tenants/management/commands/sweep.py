"""`manage.py sweep`: the process `beat`, which sweeps every few seconds until it is ended."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.tenants.beat import keep_sweeping
from config import celery  # noqa: F401 - what it wakes workers with
from config.serving import refuse_contradictions


class Command(BaseCommand):
    help = "Visit every org that may need it, every SWEEP_SECONDS, until it is ended."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's way to say which

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_contradictions()
        keep_sweeping()
