"""Reads of the shared tables, as small frozen values."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db.models import Exists, Q
from django.db.models.functions import Lower

from apps.tenants.models import Domain, InvitationIndex, KeyIndex, Membership, Org, Plan, User

ENTERABLE = Org.State.ACTIVE

INVITATIONS_SHOWN: Final = 20
_KEY_ORGS_MAX: Final = 10_000
_KEY_ORGS_SECONDS: Final = 30.0
_key_orgs: dict[bytes, tuple[float, OrgRef]] = {}

KEY_COUNTS: Final = """
exists (select from public.tenants_key_index i join public.tenants_org o on o.id = i.org_id
        where i.key_hash = %(key_hash)s and (i.expires_at is null or i.expires_at > %(at)s)
          and o.id = %(org)s and o.state = 'active')
"""
"""As SQL: the apex still knows the key as this org's, and the org is active."""


@dataclass(frozen=True, slots=True)
class OrgRef:
    """An org as everybody but its own apps sees it."""

    id: UUID
    schema: str
    slug: str
    name: str
    state: str
    owner_id: UUID | None
    created_at: datetime
    erase_at: datetime | None
    host: str = ""

    @property
    def is_active(self) -> bool:
        return self.state == Org.State.ACTIVE

    @property
    def url(self) -> str:
        """The origin of its primary host, built from PUBLIC_URL and never from a Host header."""
        return origin_of(self.host) if self.host else self.own_url

    @property
    def own_url(self) -> str:
        """The origin that it always has, whichever host it brought besides."""
        return org_origin(self.slug)


def org_origin(slug: str) -> str:
    apex = urlsplit(settings.PUBLIC_URL)
    return f"{apex.scheme}://{slug}.{apex.netloc}"


def origin_of(host: str) -> str:
    """The origin of a host that an org brought: served as the apex is, on the same port."""
    apex = urlsplit(settings.PUBLIC_URL)
    return f"{apex.scheme}://{host}{f':{apex.port}' if apex.port else ''}"


@dataclass(frozen=True, slots=True)
class PlanRef:
    """What an org may have; None is no limit."""

    code: str
    name: str
    member_limit: int | None
    agent_limit: int | None

    def limit_of(self, noun: str) -> int | None:
        """The limit of `members` or `agents`."""
        return {"members": self.member_limit, "agents": self.agent_limit}[noun]


def get_plan_of(org_id: UUID) -> PlanRef:
    """The plan that an org is on now; one query."""
    plan = Plan.objects.get(orgs=org_id)
    return PlanRef(plan.code, plan.name, plan.member_limit, plan.agent_limit)


def ref(org: Org) -> OrgRef:
    return OrgRef(
        id=org.id,
        schema=org.schema_name,
        slug=org.slug,
        name=org.name,
        state=org.state,
        owner_id=org.owner_id,
        created_at=org.created_at,
        erase_at=org.erase_at,
        host=org.host,
    )


def get_org(org_id: UUID) -> OrgRef:
    return ref(Org.objects.get(id=org_id))


def find_org_by_slug(slug: str) -> OrgRef | None:
    org = Org.objects.filter(slug=slug).first() if "\0" not in slug else None
    return ref(org) if org else None


def find_org_by_host(host: str) -> OrgRef | None:
    """The org that a host leads to; erased ones lead nowhere."""
    domain = (
        Domain.objects.select_related("tenant")
        .filter(domain=host)
        .exclude(tenant__state=Org.State.ERASED)
        .first()
    )
    return ref(domain.tenant) if domain else None


def find_origin(*, org: OrgRef, host: str) -> str | None:
    """The origin of a host of this org, "" being its own; None for one that doesn't lead to it."""
    if not host:
        return org.own_url
    if "\0" in host:
        return None
    found = find_org_by_host(host)
    return origin_of(host) if found is not None and found.id == org.id else None


def find_key_org(*, key_hash: bytes, at: datetime) -> OrgRef | None:
    """The active org of an API key that hasn't expired.

    Whose a key is never changes, so a process remembers it for a while; whether the key and the
    org still count is for who asks to find out (`KEY_COUNTS`), with the key's own row.
    """
    known_at, org = _key_orgs.get(key_hash, (0.0, None))
    if org is not None and time.monotonic() - known_at < _KEY_ORGS_SECONDS:
        return org
    org = _read_key_org(key_hash, at)
    if org is not None:
        if len(_key_orgs) >= _KEY_ORGS_MAX:
            _key_orgs.clear()
        _key_orgs[key_hash] = (time.monotonic(), org)
    return org


def _read_key_org(key_hash: bytes, at: datetime) -> OrgRef | None:
    row = (
        KeyIndex.objects.select_related("org")
        .filter(Q(expires_at=None) | Q(expires_at__gt=at), key_hash=key_hash, org__state=ENTERABLE)
        .first()
    )
    return ref(row.org) if row else None


def find_invitation_org(*, token_hash: bytes, at: datetime) -> tuple[OrgRef, str] | None:
    """The active org of an open invitation, and the address that it was sent to."""
    row = (
        InvitationIndex.objects.select_related("org")
        .filter(token_hash=token_hash, expires_at__gt=at, org__state=ENTERABLE)
        .first()
    )
    return (ref(row.org), row.email) if row else None


@dataclass(frozen=True, slots=True)
class Invited:
    """An open invitation, as far as the apex knows of it."""

    org_name: str
    email: str
    expires_at: datetime


def list_invitations_to(user_id: UUID, *, at: datetime) -> list[Invited]:
    """Those sent to a confirmed address of this person, by orgs that they aren't in yet."""
    own = EmailAddress.objects.filter(user_id=user_id, verified=True)
    rows = (
        InvitationIndex.objects.select_related("org")
        .annotate(address=Lower("email"))
        .filter(address__in=own.values(lower=Lower("email")), expires_at__gt=at)
        .filter(org__state=ENTERABLE)
        .exclude(org__memberships__user_id=user_id)
        .order_by("expires_at")[:INVITATIONS_SHOWN]
    )
    return [Invited(row.org.name, row.email, row.expires_at) for row in rows]


def is_member(*, user_id: UUID, org_id: UUID) -> bool:
    """Whether this person may enter this org now."""
    return Membership.objects.filter(
        user_id=user_id, org_id=org_id, user__is_active=True, org__state=ENTERABLE
    ).exists()


def find_entered_org(
    *, user_id: UUID, org_id: UUID, operator_id: UUID | None = None
) -> OrgRef | None:
    """The org as it is now, if this person may enter it now; one query.

    With an operator, if that one may still look as this person: operators lose that with their
    office, and nobody looks as one of them.
    """
    rows = Org.objects.filter(
        id=org_id, state=ENTERABLE, memberships__user_id=user_id, memberships__user__is_active=True
    )
    if operator_id is not None:
        operators = User.objects.filter(is_staff=True, is_active=True)
        rows = rows.filter(Exists(operators.filter(id=operator_id))).exclude(
            Exists(User.objects.filter(Q(is_staff=True) | Q(is_superuser=True), id=user_id))
        )
    org = rows.first()
    return ref(org) if org else None


def list_orgs_of(user_id: UUID) -> list[OrgRef]:
    """The orgs of a person, those still being made included, by name."""
    rows = Org.objects.filter(memberships__user_id=user_id).exclude(state=Org.State.ERASED)
    return [ref(org) for org in rows.order_by("name", "slug")]


def find_user_by_email(email: str) -> User | None:
    return User.objects.filter(email=email.strip().lower()).first()


def has_confirmed(*, user_id: UUID, email: str) -> bool:
    """Whether this person has shown that they read the mail of an address, primary or not."""
    own = EmailAddress.objects.filter(user_id=user_id, user__is_active=True, verified=True)
    found: bool = own.filter(email__iexact=email).exists()
    return found


def get_user(user_id: UUID) -> User:
    return User.objects.get(id=user_id)
