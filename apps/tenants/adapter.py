"""Where allauth asks us: what happens after verification, where people land, what is on record."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from apps.tenants.models import User
from apps.tenants.services import signup


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

    def is_safe_url(self, url: str | None) -> bool:
        """Only a path of the apex itself: the way to an org's host is a ticket."""
        return str(url or "").startswith("/") and url_has_allowed_host_and_scheme(url, None)

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """People have an address and no user name."""


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors are sealed before they reach the database."""

    def encrypt(self, text: str) -> str:
        return signup.seal_text(text)

    def decrypt(self, encrypted_text: str) -> str:
        return signup.open_text(encrypted_text)
