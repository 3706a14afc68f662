"""`manage.py create_org NAME --owner EMAIL`: an org without the browser."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.common.errors import DomainError
from apps.common.text import make_slug
from apps.tenants import selectors
from apps.tenants.models import Org
from apps.tenants.services import orgs

WAIT_SECONDS = 60


class Command(BaseCommand):
    help = "Provision an organization for a person who already has an account."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="EMAIL")
        parser.add_argument("--slug", help="the org's address; from its name if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = selectors.find_user_by_email(options["owner"])
        if owner is None:
            raise CommandError(f"nobody has an account with {options['owner']}; sign up first")
        slug = options["slug"] or make_slug(options["name"], fallback="")
        try:
            org = orgs.request_org(
                name=options["name"], slug=slug, owner_id=owner.pk, at=timezone.now()
            )
        except DomainError as error:
            raise CommandError(str(error)) from error
        if "owner" in settings.DATABASES:
            org = orgs.provision_org(org_id=org.id, at=timezone.now())
        self.stdout.write(self._wait(org).url)

    def _wait(self, org: selectors.OrgRef) -> selectors.OrgRef:
        """Follow the provisioner until the org is ready, and say so if it isn't."""
        deadline = time.monotonic() + WAIT_SECONDS
        while org.state == Org.State.PROVISIONING and time.monotonic() < deadline:
            time.sleep(0.1)
            org = selectors.get_org(org.id)
        if org.state != Org.State.ACTIVE:
            raise CommandError(f"{org.slug} is {org.state}: is the provisioner running?")
        return org
