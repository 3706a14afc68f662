"""`manage.py apikey --org SLUG --user EMAIL`: a new API key on one line, and nothing else."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.common.errors import DomainError, NotFound
from apps.orgs.permissions import ALL_SCOPES, MATRIX, effective
from apps.orgs.principals import Principal
from apps.orgs.selectors import find_member_principal, get_role
from apps.orgs.services.keys import create_key
from apps.tenants import keys
from apps.tenants.selectors import find_org_by_slug, find_user_by_email


class Command(BaseCommand):
    help = "Print a new API key of a member, or of an agent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", required=True, metavar="SLUG")
        parser.add_argument("--user", required=True, metavar="EMAIL")
        parser.add_argument("--role", metavar="SLUG", help="no more than this role may")
        parser.add_argument("--agent", metavar="SLUG", help="a key that acts as this agent")
        parser.add_argument("--scopes", default="", help="permission codes, separated by commas")
        parser.add_argument("--name", default="Command line")

    def handle(self, *args: Any, **options: Any) -> None:
        org, user = find_org_by_slug(options["org"]), find_user_by_email(options["user"])
        if org is None or not org.is_active:
            raise CommandError(f"there is no active org {options['org']}")
        if user is None:
            raise CommandError(f"nobody has an account with {options['user']}")
        with keys.holding(org.schema, org.id):
            member = find_member_principal(user_id=user.pk)
            if member is None:
                raise CommandError(f"{user.email} is not a member of {org.slug}")
            try:
                made = create_key(
                    name=options["name"],
                    scopes=scopes_of(
                        member,
                        options["role"],
                        options["scopes"],
                        as_agent=options["agent"] is not None,
                    ),
                    agent=options["agent"],
                    by=member,
                    at=timezone.now(),
                )
            except DomainError as error:
                raise CommandError(str(error)) from error
        self.stdout.write(made.token)


def scopes_of(
    member: Principal, role: str | None, scopes: str, *, as_agent: bool = False
) -> list[str] | None:
    """The scopes that the options name; a weaker role is written as its permissions.

    The member's own role is no narrowing: such a key is as one without `--role`.
    """
    named = [code.strip() for code in scopes.split(",") if code.strip()]
    if unknown := [code for code in named if code not in MATRIX and code != ALL_SCOPES]:
        raise CommandError(f"there is no permission {unknown[0]}")
    if role is None or role == member.role:
        return named or None
    weaker = _codes_of(role) & member.permissions
    codes = sorted(effective(role=weaker, scopes=[ALL_SCOPES], as_agent=as_agent))
    chosen = [code for code in codes if not named or code in named or ALL_SCOPES in named]
    if not chosen:  # no scopes at all would mean every one
        raise CommandError(f"nothing is left of the role {role} for {member.email}")
    return chosen


def _codes_of(slug: str) -> frozenset[str]:
    try:
        role: Any = get_role(slug)
    except NotFound as error:
        raise CommandError(f"there is no role {slug}") from error
    return frozenset(role.codes)
