"""API keys: the list, a new one, and the page that shows a token once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import parse_id
from apps.common.links import link, said, turn
from apps.common.pagination import paginate
from apps.orgs import selectors
from apps.orgs.key_pages import KeyForm, key_row, make_key, show_key_once
from apps.orgs.models import ApiKey
from apps.orgs.pages import check, command, needs, principal_of
from apps.orgs.principals import Principal
from apps.orgs.services import keys
from apps.orgs.settings_pages import page
from apps.tenants import proofs

FILTERS: Final = ("q", "status")
WORKS: Final = {"working": True, "ended": False}
STATUSES: Final = (("working", "Working"), ("ended", "Revoked or expired"))


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The keys that one may see; a POST makes one and shows its token, once."""
    by, now = principal_of(request), timezone.now()
    form = KeyForm(request.POST if request.method == "POST" else None, by=by)
    if request.method == "POST":
        check(request, "keys.own")
        if form.is_valid() and (made := make_key(request, form, at=now)):
            return _show_once(request, made)
    context = page(
        request,
        "API keys",
        **_found(request, by, now),
        form=form,
        can_create=by.may("keys.own"),
        sees_all=by.may("keys.manage"),
        command=command(request, "/v1/keys"),
    )
    if form.is_bound:
        return render(request, "orgs/keys.html", context, status=422)
    return render_page_or_partial(request, "orgs/keys.html", "results", context)


def _found(request: HttpRequest, by: Principal, now: datetime) -> dict[str, Any]:
    """A page of the keys that the address asks for."""
    q, status = said(request, "q"), said(request, "status")
    rows = selectors.list_keys(by=by, q=q)
    if status in WORKS:
        rows = selectors.narrow_keys(rows, works=WORKS[status], at=now)
    found = paginate(rows, after=request.GET.get("after"), before=request.GET.get("before"))
    return {
        "keys": [key_row(key, by, now) for key in found.items],
        "q": q,
        "status": status if status in WORKS else "",
        "statuses": STATUSES,
        "filtered": bool(q or status in WORKS),
        "clear_url": link(request, "orgs:keys"),
        "newer_url": turn(request, "before", found.previous, keep=FILTERS),
        "older_url": turn(request, "after", found.next, keep=FILTERS),
    }


@require_POST
@needs("keys.own")
def rotate(request: HttpRequest, ref: str) -> HttpResponse:
    """Replace a key; the old one works for a day more."""
    by, key_id, now = principal_of(request), parse_id(selectors.KEY, ref), timezone.now()
    proofs.require(request, f"Rotate {selectors.get_key(key_id, by=by).name}", at=now)
    made = keys.rotate_key(key_id=key_id, by=by, at=now)
    return _show_once(request, made, replaced=selectors.get_key(key_id, by=by))


@require_POST
def revoke(request: HttpRequest, ref: str) -> HttpResponse:
    """End a key at once: one's own, or with the permission anybody's."""
    by, key_id, now = principal_of(request), parse_id(selectors.KEY, ref), timezone.now()
    proofs.require(request, f"Revoke {selectors.get_key(key_id, by=by).name}", at=now)
    key = keys.revoke_key(key_id=key_id, by=by, at=now)
    messages.success(request, f"{key.name} was revoked.")
    return see_other(reverse("orgs:keys"))


@never_cache
def _show_once(
    request: HttpRequest, made: keys.NewKey, replaced: ApiKey | None = None
) -> HttpResponse:
    context = page(
        request,
        "API keys",
        replaced={"prefix": replaced.prefix, "expires_at": replaced.ends_at} if replaced else None,
        all_url=link(request, "orgs:keys"),
    )
    return show_key_once(request, made, "orgs/key_created.html", context)
