"""`manage.py setup`: bring the database to the code's version, before anything serves."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.tenants import schemas
from apps.tenants.models import Org
from apps.tenants.services import orgs


class Command(BaseCommand):
    help = "Migrate the shared schema and every org, and make the built-in org. Needs the owner."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-demo", action="store_true", help="leave the demo orgs out")

    def handle(self, *args: Any, **options: Any) -> None:
        if "owner" not in settings.DATABASES:
            raise CommandError("setup changes tables: set DATABASE_OWNER_URL for this command")
        self.stdout.write("Migrating the shared schema …")
        schemas.migrate_shared()
        orgs.ensure_system_org(at=timezone.now())
        self._bring_orgs_up()
        if settings.DEMO and not options["no_demo"]:
            call_command("seed_demo", stdout=self.stdout)

    def _bring_orgs_up(self) -> None:
        """Provision or migrate every org that isn't at the present version."""
        rows = Org.objects.exclude(state__in=[Org.State.ERASED, Org.State.FAILED])
        for org in rows.exclude(schema_version=schemas.current_version()).order_by("created_at"):
            self.stdout.write(f"Migrating {org.slug} …")
            if org.state == Org.State.PROVISIONING:
                orgs.provision_org(org_id=org.id, at=timezone.now())
            else:
                orgs.migrate_org(org_id=org.id, at=timezone.now())
