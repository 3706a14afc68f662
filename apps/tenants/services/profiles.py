"""What a person says of themselves: the name that others read, and the zone that times are in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from django.db import transaction

from apps.common.ids import public_id
from apps.tenants import apex_log, keys
from apps.tenants.models import Org, User
from apps.tenants.selectors import OrgRef

HAS_ROWS: Final = (Org.State.ACTIVE, Org.State.SUSPENDED, Org.State.CLOSING)


class Follower(Protocol):
    """Writes a person's name and address into an org's own rows; both of its keys are held."""

    def __call__(self, *, user_id: UUID, name: str, email: str, at: datetime) -> None: ...


_followers: list[Follower] = []


def followed_by(follower: Follower) -> None:
    """Have a higher app keep its copies; called once, when the app is ready."""
    if follower not in _followers:
        _followers.append(follower)


def change_profile(*, user_id: UUID, name: str, time_zone: str, at: datetime) -> bool:
    """Keep what the person said, here and in each of their orgs; False if it is what it was.

    One transaction: a name is the same everywhere, or it wasn't changed.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        said = {"name": name, "time_zone": time_zone}
        changed = {field: value for field, value in said.items() if getattr(user, field) != value}
        if not changed:
            return False
        for field, value in changed.items():
            setattr(user, field, value)
        user.save(update_fields=list(changed))
        _record(user, "user.changed", at, **changed)
        if "name" in changed:
            _tell_orgs(user, at)
    return True


def follow_email(*, user_id: UUID, old: str, at: datetime) -> None:
    """Put another primary address on record, and have each of the person's orgs write there.

    Called where it was changed, in the same transaction.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        _record(user, "email.changed", at, old=old, new=user.email)
        _tell_orgs(user, at)


def catch_up(*, user_id: UUID, org: OrgRef, at: datetime) -> None:
    """Have an org call the person as they are called now, and write to their present address: it
    may not have followed when that was changed.
    """
    with transaction.atomic(), keys.holding(org.schema, org.id):
        _follow(User.objects.select_for_update().get(pk=user_id), at)


def _record(user: User, action: str, at: datetime, **facts: Any) -> None:
    apex_log.record(
        actor=apex_log.actor_of(user),
        action=f"tenants.{action}",
        subject_type="user",
        subject_id=public_id("usr", user.pk),
        at=at,
        new=facts,
    )


def _tell_orgs(user: User, at: datetime) -> None:
    """In the order of their ids, so that two who do this wait for each other and never lock."""
    rows = Org.objects.filter(memberships__user_id=user.pk, state__in=HAS_ROWS).order_by("id")
    for org in rows:
        with keys.holding(org.schema_name, org.id):
            _follow(user, at)


def _follow(user: User, at: datetime) -> None:
    name = user.name or user.email[:120]
    for follow in _followers:
        follow(user_id=user.pk, name=name, email=user.email, at=at)
