"""One's own sign-ins on the apex."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.db import transaction

from apps.common.ids import public_id
from apps.tenants import apex_log
from apps.tenants.models import User
from apps.tenants.services import impersonations


def end(*, session_id: int, user_id: UUID, at: datetime) -> bool:
    """End a sign-in of this user; False if they have no such one. Those that hang on it end too."""
    with transaction.atomic():
        signin = UserSession.objects.filter(pk=session_id, user_id=user_id).first()
        if signin is None:
            return False
        impersonations.end_below(parent_key=signin.session_key, at=at)
        signin.end()
        apex_log.record(
            actor=apex_log.actor_of(User.objects.get(pk=user_id)),
            action="tenants.session.ended",
            subject_type="user",
            subject_id=public_id("usr", user_id),
            at=at,
        )
    return True
