"""What allauth tells of people's accounts, put on record, and of what they proved, noted in their
session; the only signals that we listen to."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as mfa
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from apps.common.ids import public_id
from apps.tenants import apex_log, proofs
from apps.tenants.models import User
from apps.tenants.services import impersonations, profiles


def _record(user: User, action: str, **new: str) -> None:
    apex_log.record(
        actor=apex_log.actor_of(user),
        action=action,
        subject_type="user",
        subject_id=public_id("usr", user.pk),
        at=timezone.now(),
        new=new or None,
    )


@receiver(user_logged_in)
@receiver(account.authentication_step_completed)
def proof_given(request: HttpRequest, user: User, **_: Any) -> None:
    """A step of a sign-in proves nothing yet; its completion then counts them all."""
    if request.session.get(SESSION_KEY) == str(user.pk):
        proofs.remember(request, user)


@receiver(account.user_signed_up)
def signed_up(request: HttpRequest, user: User, **_: Any) -> None:
    """Who has just chosen the password knows it: the founder of an org invites people at once.

    It counts in this browser only, from then on, and once the address is confirmed.
    """
    record_authentication(request, user, method="password", email=user.email)


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    """An operator's looks end with their sign-in, and that is on record."""
    if user is not None and user.is_staff and request.session.session_key:
        impersonations.end_below(parent_key=request.session.session_key, at=timezone.now())


@receiver(account.email_confirmed)
def email_confirmed(email_address: Any, **_: Any) -> None:
    _record(email_address.user, "tenants.email.verified", email=email_address.email)


@receiver(account.email_changed)
def email_changed(user: User, from_email_address: Any, to_email_address: Any, **_: Any) -> None:
    """Another of one's addresses is the primary one now: it is told to each of one's orgs."""
    old = from_email_address.email if from_email_address else ""
    if old != to_email_address.email:
        profiles.follow_email(user_id=user.pk, old=old, at=timezone.now())


@receiver(account.password_changed)
@receiver(account.password_set)
def password_changed(user: User, **_: Any) -> None:
    _record(user, "tenants.password.changed")


@receiver(account.password_reset)
def password_reset(user: User, **_: Any) -> None:
    _record(user, "tenants.password.reset")


@receiver(mfa.authenticator_added)
def authenticator_added(user: User, authenticator: Any, **_: Any) -> None:
    _record(user, "tenants.authenticator.added", **_facts(authenticator))


@receiver(mfa.authenticator_removed)
def authenticator_removed(user: User, authenticator: Any, **_: Any) -> None:
    _record(user, "tenants.authenticator.removed", **_facts(authenticator))


@receiver(mfa.authenticator_reset)
def authenticator_reset(user: User, authenticator: Any, **_: Any) -> None:
    _record(user, "tenants.authenticator.renewed", kind=authenticator.type)


def _facts(authenticator: Any) -> dict[str, str]:
    """Which factor it is; passkeys have names."""
    name = authenticator.data.get("name")
    return {"kind": authenticator.type, **({"name": name} if name else {})}
