"""Signing keys: what the organization signs with, and the change from one key to the next."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.htmx import see_other
from apps.orgs.audit_forms import RevokeKeyForm
from apps.orgs.pages import check, command, needs, org_of, principal_of
from apps.orgs.settings_pages import page
from apps.tenants import proofs
from apps.trust import selectors
from apps.trust.models import SigningKey
from apps.trust.services import create_signing_key, revoke_signing_key, rotate_signing_key

VIEW: Final = "signing_keys.view"
MANAGE: Final = "signing_keys.manage"
SHOWN: Final = 50
_State = SigningKey.State


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW)
def index(request: HttpRequest) -> HttpResponse:
    """The keys with their states; a POST announces the next one."""
    if request.method == "POST":
        check(request, MANAGE)
        now = timezone.now()
        proofs.require(request, "Announce next key", at=now)
        create_signing_key(actor=principal_of(request).actor, at=now)
        return _back(request, "The next key is published and signs beside the active one.")
    return _list(request)


@require_POST
@needs(MANAGE)
def rotate(request: HttpRequest) -> HttpResponse:
    """Let the next key take over, made now if none was announced."""
    now = timezone.now()
    proofs.require(request, "Rotate signing key", at=now)
    rotate_signing_key(actor=principal_of(request).actor, at=now)
    return _back(request, "The next key signs from now on. The old one only verifies.")


@require_POST
@needs(MANAGE)
def revoke(request: HttpRequest, kid: str) -> HttpResponse:
    """Believe nothing of a key any more."""
    key, now = selectors.get_key(kid), timezone.now()
    form = RevokeKeyForm(request.POST)
    if not form.is_valid():
        return _list(request, asked=(kid, form), status=422)
    proofs.require(request, "Revoke signing key", at=now)
    revoke_signing_key(
        key_id=key.id, actor=principal_of(request).actor, at=now, reason=form.cleaned_data["reason"]
    )
    return _back(request, "The key was revoked. What it signed is believed no more.")


def _list(
    request: HttpRequest, *, asked: tuple[str, RevokeKeyForm] | None = None, status: int = 200
) -> HttpResponse:
    keys = list(selectors.list_keys()[:SHOWN])
    forms = dict([asked]) if asked else {}
    context = page(
        request,
        "Signing keys",
        keys=[_facts(key, forms.get(key.kid)) for key in keys],
        has_next=any(key.state == _State.NEXT for key in keys),
        refused=asked[1] if asked else None,
        can_manage=principal_of(request).may(MANAGE),
        jwks_url=f"{org_of(request).url}{reverse('jwks')}",
        command=command(request, "/v1/signing-keys"),
    )
    return render(request, "orgs/signing_keys.html", context, status=status)


def _facts(key: SigningKey, form: RevokeKeyForm | None) -> dict[str, Any]:
    """A key as its row shows it, with the form that ends it."""
    return {
        "kid": key.kid,
        "state": key.state,
        "label": key.get_state_display(),
        "created_at": key.created_at,
        "since": _since(key),
        "can_end": key.state != _State.REVOKED,
        "form": form or RevokeKeyForm(auto_id=f"revoke-{key.kid}-%s"),
        "effect": _EFFECTS.get(key.state, ""),
    }


def _since(key: SigningKey) -> datetime:
    """When it came into the state that it is in."""
    return key.revoked_at or key.retired_at or key.activated_at or key.created_at


_ENDS: Final = "Manifests and checkpoints that only it signed stop verifying, everywhere, at once."
_EFFECTS: Final = {
    _State.NEXT.value: f"{_ENDS} The active key keeps signing.",
    _State.ACTIVE.value: f"{_ENDS} The next key takes over; without one, one is made now.",
    _State.VERIFY_ONLY.value: _ENDS,
}


def _back(request: HttpRequest, said: str) -> HttpResponse:
    messages.success(request, said)
    return see_other(reverse("orgs:signing_keys"))
