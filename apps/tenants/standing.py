"""Why an org that exists lets nobody in: suspended by an operator, or being closed by its owner."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.conf import settings

from apps.tenants.errors import OrgShut
from apps.tenants.models import Membership, Org

SHUT: Final = {
    Org.State.SUSPENDED: "This organization is suspended.",
    Org.State.CLOSING: "This organization is being closed.",
}


def why_shut(*, org_id: UUID, user_id: UUID | None) -> OrgShut | None:
    """The refusal that says why, if the org is shut; its name and owner only to who belongs to it.

    Asked of the database each time: what a process remembers of a host may be older.
    """
    org = Org.objects.select_related("owner").filter(id=org_id, state__in=list(SHUT)).first()
    if org is None:
        return None
    known = {
        "state": org.state,
        "support": settings.SUPPORT_EMAIL,
        "account_url": f"{settings.PUBLIC_URL}/account/",
    }
    if user_id and Membership.objects.filter(org_id=org_id, user_id=user_id).exists():
        owner = org.owner.email if org.owner else ""
        known |= {"org_name": org.name, "owner": owner, "erase_at": org.erase_at}
    return OrgShut(SHUT[Org.State(org.state)], **known)
