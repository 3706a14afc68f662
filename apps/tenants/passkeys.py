"""Passkeys by allauth, held to the apex: its origin alone, and no way lost on a refusal.

The relying party is the apex's host, and a browser lets every host below it speak in its name; an
org's host must not be able to gather an answer that opens the apex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.core.internal.httpkit import add_query_params
from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn import forms as theirs
from allauth.mfa.webauthn import views
from allauth.mfa.webauthn.internal import auth
from django import forms
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse


class OnApex:
    """Refuses an answer that a browser signed on another origin, a host below the apex too."""

    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Any:
        _check_origin(self.cleaned_data["credential"], auth.parse_authentication_response)
        return super().clean_credential()  # type: ignore[misc]


class PasskeyForm(theirs.AddWebAuthnForm):  # type: ignore[misc]
    """A new passkey; one that also replaces the password, unless it is an old security key."""

    name = forms.CharField(
        label="Name",
        required=False,
        max_length=80,
        help_text="So that you know it again, such as “Laptop” or “Blue key”.",
    )
    passwordless = forms.BooleanField(
        label="Sign in with it alone",
        required=False,
        initial=True,
        help_text="Without address and password. The device then asks for its PIN or your finger.",
    )

    def clean_credential(self) -> Any:
        credential = self.cleaned_data["credential"]
        _check_origin(credential, auth.parse_registration_response)
        return credential


class RenameForm(theirs.EditWebAuthnForm):  # type: ignore[misc]
    """Another name for a passkey."""

    name = forms.CharField(label="Name", max_length=80)


class SignInForm(OnApex, theirs.LoginWebAuthnForm):  # type: ignore[misc]
    """A passkey instead of address and password."""


class SecondStepForm(OnApex, theirs.AuthenticateWebAuthnForm):  # type: ignore[misc]
    """A passkey after the password."""


class ProofForm(OnApex, theirs.ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """A passkey as fresh proof."""


class SignIn(views.LoginWebAuthnView):  # type: ignore[misc]
    """Sign in with a passkey; a refusal leads back to the sign-in, which knows where to go on."""

    def form_invalid(self, form: Any) -> HttpResponse:
        super().form_invalid(form)
        return _back_to(reverse("account_login"), self.request.POST.get("next"))


class Prove(views.ReauthenticateWebAuthnView):  # type: ignore[misc]
    """Prove by a passkey who one is; a refusal can be tried again."""

    def form_invalid(self, form: Any) -> HttpResponse:
        super().form_invalid(form)
        return _back_to(self.request.path, self.request.POST.get("next"))


def _back_to(path: str, target: str | None) -> HttpResponse:
    return HttpResponseRedirect(add_query_params(path, {"next": target}) if target else path)


def _check_origin(credential: Any, parse: Callable[[Any], Any]) -> None:
    try:
        origin = parse(credential).response.client_data.origin
    except (AttributeError, KeyError, TypeError, ValueError):
        origin = None  # not what a browser sends
    if origin != settings.PUBLIC_URL:
        raise get_adapter().validation_error("incorrect_code")
