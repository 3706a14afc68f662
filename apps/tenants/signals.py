"""What allauth tells of people's accounts, put on record; the only signals that we listen to."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.dispatch import receiver
from django.utils import timezone

from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id
from apps.tenants import apex_log
from apps.tenants.models import User


def actor_of(user: User) -> Actor:
    return Actor(ActorType.USER, public_id("usr", user.pk), user.email)


def _record(user: User, action: str, **new: str) -> None:
    apex_log.record(
        actor=actor_of(user),
        action=action,
        subject_type="user",
        subject_id=public_id("usr", user.pk),
        at=timezone.now(),
        new=new or None,
    )


@receiver(account.email_confirmed)
def email_confirmed(email_address: Any, **_: Any) -> None:
    _record(email_address.user, "tenants.email.verified", email=email_address.email)


@receiver(account.password_changed)
@receiver(account.password_set)
def password_changed(user: User, **_: Any) -> None:
    _record(user, "tenants.password.changed")


@receiver(account.password_reset)
def password_reset(user: User, **_: Any) -> None:
    _record(user, "tenants.password.reset")


@receiver(mfa.authenticator_added)
def authenticator_added(user: User, authenticator: Any, **_: Any) -> None:
    _record(user, "tenants.authenticator.added", kind=authenticator.type)


@receiver(mfa.authenticator_removed)
def authenticator_removed(user: User, authenticator: Any, **_: Any) -> None:
    _record(user, "tenants.authenticator.removed", kind=authenticator.type)


@receiver(mfa.authenticator_reset)
def authenticator_reset(user: User, authenticator: Any, **_: Any) -> None:
    _record(user, "tenants.authenticator.renewed", kind=authenticator.type)
