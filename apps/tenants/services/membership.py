"""Who may enter an org."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from apps.tenants.models import Membership, Session


def admit_user(*, org_id: UUID, user_id: UUID, at: datetime) -> None:
    """Let a person in; again changes nothing."""
    Membership.objects.get_or_create(org_id=org_id, user_id=user_id, defaults={"created_at": at})


def remove_user(*, org_id: UUID, user_id: UUID) -> None:
    """Shut a person out, and end their sessions on the org's host."""
    Membership.objects.filter(org_id=org_id, user_id=user_id).delete()
    Session.objects.filter(org_id=org_id, user_id=user_id).delete()


def sign_out(*, parent_key: str) -> None:
    """End a session on the apex, and with it all that hang on it."""
    Session.objects.filter(session_key=parent_key).delete()
