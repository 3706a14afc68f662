"""API keys: the list, a new one, and the page that shows a token once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import see_other
from apps.common.ids import parse_id, public_id
from apps.orgs import selectors
from apps.orgs.forms import KeyForm
from apps.orgs.models import ApiKey
from apps.orgs.pages import check, command, needs, org_of, principal_of
from apps.orgs.permissions import MATRIX
from apps.orgs.principals import Principal
from apps.orgs.services import keys
from apps.orgs.views.common import page

ALL = "*"
SOON = timedelta(days=7)


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The keys that one may see; a POST makes one and shows its token, once."""
    by = principal_of(request)
    form = KeyForm(request.POST if request.method == "POST" else None, scopes=_scopes(by))
    if request.method == "POST":
        check(request, "keys.own")
        if form.is_valid() and (made := _create(form, by)):
            return _show_once(request, made)
    now = timezone.now()
    context = page(
        request,
        "API keys",
        keys=[_row(key, by, now) for key in selectors.list_keys(by=by)[:200]],
        form=form,
        can_create=by.may("keys.own"),
        command=command(request, "/v1/me"),
    )
    return render(request, "orgs/keys.html", context, status=422 if form.is_bound else 200)


def _create(form: KeyForm, by: Principal) -> keys.NewKey | None:
    at = timezone.now()
    try:
        return keys.create_key(
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"] or None,
            expires_at=form.expires_at(at=at),
            by=by,
            at=at,
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


@require_POST
@needs("keys.own")
def rotate(request: HttpRequest, ref: str) -> HttpResponse:
    """Replace a key; the old one works for a day more."""
    key_id = parse_id(selectors.KEY, ref)
    made = keys.rotate_key(key_id=key_id, by=principal_of(request), at=timezone.now())
    return _show_once(request, made, replaced=selectors.get_key(key_id, by=principal_of(request)))


@require_POST
def revoke(request: HttpRequest, ref: str) -> HttpResponse:
    """End a key at once: one's own, or with the permission anybody's."""
    key = keys.revoke_key(
        key_id=parse_id(selectors.KEY, ref), by=principal_of(request), at=timezone.now()
    )
    messages.success(request, f"{key.name} was revoked.")
    return see_other(reverse("orgs:keys"))


@never_cache
def _show_once(
    request: HttpRequest, made: keys.NewKey, replaced: ApiKey | None = None
) -> HttpResponse:
    """The only page that ever holds the token; never stored, by nobody."""
    key = made.key
    context = page(
        request,
        "API keys",
        key={
            "name": key.name,
            "prefix": key.prefix,
            "scopes": [] if ALL in key.scopes else key.scopes,
            "expires_at": key.expires_at,
            "owner": principal_of(request).member_label,
        },
        token=made.token,
        command=f'curl -H "Authorization: Bearer {made.token}" {org_of(request).url}/v1/me',
        replaced={"prefix": replaced.prefix, "expires_at": replaced.ends_at} if replaced else None,
    )
    response = render(request, "orgs/key_created.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _scopes(by: Principal) -> list[tuple[str, str]]:
    """What the member may do, as choices."""
    return [(code, text) for code, (text, _) in MATRIX.items() if by.may(code)]


def _row(key: ApiKey, by: Principal, now: Any) -> dict[str, Any]:
    status = key.status_at(now)
    if status == "active" and key.ends_at and key.ends_at - now <= SOON:
        status = "expiring"
    return {
        "id": public_id(selectors.KEY, key.id),
        "name": key.name,
        "prefix": key.prefix,
        "owner": key.member.label,
        "scopes": [] if ALL in key.scopes else key.scopes,
        "last_used_at": key.last_used_at,
        "expires_at": key.ends_at,
        "status": status,
        "can_rotate": key.member_id == by.member_id and key.status_at(now) == "active",
        "can_manage": key.member_id == by.member_id or by.may("keys.manage"),
    }
