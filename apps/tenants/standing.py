"""Why an org that exists lets nobody in: suspended by an operator, or being closed by its owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.conf import settings

from apps.tenants import keys
from apps.tenants.errors import OrgShut
from apps.tenants.models import Membership, Org

SHUT: Final = {
    Org.State.SUSPENDED: "This organization is suspended.",
    Org.State.CLOSING: "This organization is being closed.",
}

OWNERS_NAMED: Final = 3
Owners = Callable[[int], list[str]]
_owners: list[Owners] = []


def owners_are_told_by(owners: Owners) -> None:
    """Have the addresses of an org's owners, at most so many, read there; asked under both keys."""
    if owners not in _owners:
        _owners.append(owners)


def why_shut(*, org_id: UUID, user_id: UUID | None) -> OrgShut | None:
    """The refusal that says why, if the org is shut; its name and owners only to who belongs to it.

    Asked of the database each time: what a process remembers of a host may be older.
    """
    org = Org.objects.filter(id=org_id, state__in=list(SHUT)).first()
    if org is None:
        return None
    known = {
        "state": org.state,
        "support": settings.SUPPORT_EMAIL,
        "account_url": f"{settings.PUBLIC_URL}/account/",
    }
    if user_id and Membership.objects.filter(org_id=org_id, user_id=user_id).exists():
        known |= {"org_name": org.name, "owners": _owners_of(org), "erase_at": org.erase_at}
    return OrgShut(SHUT[Org.State(org.state)], **known)


def _owners_of(org: Org) -> list[str]:
    """Who owns it now, which need not be who once asked for it."""
    with keys.holding(org.schema_name, org.id):
        return [address for owners in _owners for address in owners(OWNERS_NAMED)]
