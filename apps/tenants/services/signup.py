"""What follows a verified address: the org that its owner asked for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.common import text
from apps.common.text import make_slug
from apps.tenants.models import Org, User
from apps.tenants.selectors import OrgRef
from apps.tenants.services import orgs
from apps.tenants.services.orgs import SLUG


def fulfil_wish(*, user_id: UUID, at: datetime) -> OrgRef | None:
    """Make the org that a user named at sign-up, once; its address is the nearest free one."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(id=user_id)
        wish, user.org_wish = user.org_wish, ""
        user.save(update_fields=["org_wish"])
        if not wish:
            return None
        return orgs.request_org(name=wish, slug=free_slug(wish), owner_id=user_id, at=at)


def free_slug(name: str) -> str:
    """A slug for that name that is neither taken nor reserved: `acme`, `acme-2`, …"""
    base = make_slug(name, fallback="org")
    base = (
        base
        if SLUG.fullmatch(base) and len(base) >= 3
        else make_slug(f"org {name}", fallback="org-1")
    )
    return text.free_slug(base, is_taken=_is_taken)


def _is_taken(slug: str) -> bool:
    return slug in orgs.RESERVED or Org.objects.filter(slug=slug).exists()
