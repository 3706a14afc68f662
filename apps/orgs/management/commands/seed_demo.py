"""`manage.py seed_demo`: the demo orgs and people, once; only where the settings say DEMO."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from apps.orgs import demo
from apps.orgs.models import Member, Project, Role
from apps.orgs.selectors import find_member_principal
from apps.orgs.services.projects import create_project
from apps.tenants import keys
from apps.tenants.models import User
from apps.tenants.selectors import OrgRef, find_org_by_slug
from apps.tenants.services import membership, orgs

PASSWORD: Final = "mandate-demo"  # noqa: S105 - public on purpose; exists only with DEMO
ROLES: Final = ("owner", "admin", "member", "viewer")
ORGS: Final = (("acme", "Acme"), ("globex", "Globex"))


class Command(BaseCommand):
    help = "Make the demo orgs acme and globex with a person in each role. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("demo orgs exist only where the settings say DEMO")
        now = timezone.now()
        for slug, name in ORGS:
            org = find_org_by_slug(slug) or self._make_org(slug, name, now)
            with keys.holding(org.schema, org.id):
                self._fill(org, now)

    def _make_org(self, slug: str, name: str, at: datetime) -> OrgRef:
        self.stdout.write(f"Making the demo org {slug} …")
        owner = _person(slug, "owner")
        org = orgs.request_org(name=name, slug=slug, owner_id=owner.pk, at=at)
        return orgs.provision_org(org_id=org.id, at=at)

    def _fill(self, org: OrgRef, at: datetime) -> None:
        """A member in each role, a project, and what apps add; what is there stays as it is."""
        if Member.objects.count() < len(ROLES):
            for role in ROLES[1:]:
                _member(org, role, at)
        owner = find_member_principal(
            user_id=User.objects.get(email=f"owner@{org.slug}.example").pk
        )
        if owner is None:
            return  # who runs the demo has made somebody else its owner
        if org.slug == "acme" and not Project.objects.filter(slug="support").exists():
            create_project(name="Support", slug="support", tags=["demo"], actor=owner.actor, at=at)
        demo.fill(org, owner, at)


def _person(slug: str, role: str) -> User:
    email = f"{role}@{slug}.example"
    user = User.objects.filter(email=email).first()
    if user is None:
        name = f"{slug.title()} {role}"
        user = User.objects.create_user(email, PASSWORD, name=name)
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _member(org: OrgRef, role: str, at: datetime) -> None:
    user = _person(org.slug, role)
    with transaction.atomic():
        Member.objects.get_or_create(
            user_id=user.pk,
            defaults={
                "label": user.name,
                "email": user.email,
                "role": Role.objects.get(slug=role),
                "joined_at": at,
            },
        )
        membership.admit_user(org_id=org.id, user_id=user.pk, at=at)
