"""`manage.py rewrap`: have MANDATE_KEK open everything that MANDATE_KEK_PREVIOUS opens."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.trust.services.rewrapping import rewrap_all


class Command(BaseCommand):
    help = "Wrap all secrets by the present master key, so that earlier ones can be dropped."

    def handle(self, *args: Any, **options: Any) -> None:
        done = rewrap_all()
        self.stdout.write(f"{done.orgs} organizations and {done.factors} second factors rewrapped.")
        if not done.is_all:
            left = "\n".join(f"  {name}" for name in done.unreadable)
            raise CommandError(f"Neither the present key nor an earlier one opens:\n{left}")
        self.stdout.write("MANDATE_KEK_PREVIOUS isn't needed any more.")
