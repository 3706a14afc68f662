"""Where allauth asks us: what happens after verification, where people land, what is on record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from apps.tenants.models import User
from apps.tenants.services import factors, impersonations, signup

BY_PASSWORD: Final = {"id": "reauthenticate", "description": "Use your password"}
STRONG_WAYS: Final = (
    {"id": "mfa_reauthenticate:webauthn", "description": "Use a passkey"},
    {"id": "mfa_reauthenticate", "description": "Use a code"},
)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Our links are built from PUBLIC_URL, never from a Host header."""

    def confirm_email(self, request: HttpRequest, email_address: Any) -> bool:
        """A verified address gets the org its owner wished for, wherever the mail was opened."""
        confirmed: bool = super().confirm_email(request, email_address)
        if confirmed:
            signup.fulfil_wish(user_id=email_address.user_id, at=timezone.now())
        return confirmed

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return f"{settings.PUBLIC_URL}/account/confirm-email/{emailconfirmation.key}/"

    def get_reset_password_from_key_url(self, key: str) -> str:
        return f"{settings.PUBLIC_URL}/account/password/reset/key/{key}/"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        super().send_mail(template_prefix, email, {**context, "public_url": settings.PUBLIC_URL})

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """After the commit: it tells what happened, and no lock is held while the mail leaves."""
        send = super().send_notification_mail
        transaction.on_commit(lambda: send(*args, **kwargs), robust=True)

    def is_safe_url(self, url: str | None) -> bool:
        """Only a path of the apex itself: the way to an org's host is a ticket."""
        return str(url or "").startswith("/") and url_has_allowed_host_and_scheme(url, None)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, str]]:
        """How this user can prove who they are, the strongest first.

        Who has a second factor has to give it: whoever knows the password only, or sits before an
        open browser, must not be able to take the factor off.
        """
        known = {way["id"]: way["url"] for way in super().get_reauthentication_methods(user)}
        strong = [way for way in STRONG_WAYS if way["id"] in known]
        ways = strong or [way for way in (BY_PASSWORD,) if way["id"] in known]
        return [{**way, "url": known[way["id"]]} for way in ways]

    def set_password(self, user: User, password: str) -> None:
        """A new password, or a first one; what an operator opened with the old one ends."""
        super().set_password(user, password)
        impersonations.end_all_of(operator_id=user.pk, at=timezone.now())

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """People have an address and no user name."""


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]
    """Signing out everywhere else ends looks that hang on those sign-ins, and that is on record."""

    def end_sessions(self, sessions: Iterable[Any]) -> None:
        ended, at = list(sessions), timezone.now()
        with transaction.atomic():
            for session in ended:
                impersonations.end_below(parent_key=session.session_key, at=at)
            super().end_sessions(ended)


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors are sealed before they reach the database."""

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Passkeys are for the apex's host, whatever a Host header says."""
        return {"id": settings.APEX_HOST, "name": settings.MFA_TOTP_ISSUER}

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        """What a passkey is called whose owner named none: as the list counts."""
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return f"Passkey {count + 1}" if count else "Passkey"

    def encrypt(self, text: str) -> str:
        return factors.seal_text(text)

    def decrypt(self, encrypted_text: str) -> str:
        return factors.open_text(encrypted_text)
