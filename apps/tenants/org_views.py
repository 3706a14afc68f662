"""Entering and leaving an org's host; signing in itself happens on the apex."""

from __future__ import annotations

import secrets
from typing import Final

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.common.htmx import see_other
from apps.common.links import carried
from apps.tenants import proofs, selectors
from apps.tenants.access import open_to_all, user_id_of
from apps.tenants.impersonation import Impersonation, ends_impersonation
from apps.tenants.services import impersonations, profiles, tickets
from apps.tenants.services.membership import sign_out
from apps.tenants.services.orgs import own_host
from apps.tenants.sessions import HOST, IMPERSONATION, ORG, PARENT, VIA
from apps.tenants.views import FRESH, safe_path

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
AS: Final = "as"
"""The parameter of a way over the apex that an operator takes to look as a member."""


@open_to_all
@require_GET
@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """Ask the apex who this is, and remember by a nonce that this browser asked.

    An operator who wants to look `as` a member is asked why, by a page of theirs.
    """
    nonce = secrets.token_urlsafe(32)
    query = {
        "org": request.org.slug,  # type: ignore[attr-defined]
        "nonce": tickets.hashed(nonce).hex(),
        "next": safe_path(request.GET.get("next", "/")),
    }
    if brought := request.brought_host:  # type: ignore[attr-defined]
        query["host"] = brought
    if FRESH in request.GET:
        query[FRESH] = "1"
    path = "/account/handover/"
    if AS in request.GET:
        query[AS] = request.GET[AS]
        path = reverse(
            "operators:impersonate",
            args=[query["org"]],
            urlconf=settings.PUBLIC_SCHEMA_URLCONF,
        )
    response = HttpResponseRedirect(f"{settings.PUBLIC_URL}{path}?{urlencode(query)}")
    response.set_cookie(
        settings.NONCE_COOKIE_NAME,
        nonce,
        max_age=3600,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    return response


@open_to_all
@require_GET
@never_cache
def finish(request: HttpRequest) -> HttpResponse:
    """Open this host's own session with a ticket from the apex."""
    entry = tickets.use_ticket(
        token=request.GET.get("ticket", ""),
        nonce=request.COOKIES.get(settings.NONCE_COOKIE_NAME, ""),
        org_id=request.org.id,  # type: ignore[attr-defined]
        host=request.brought_host,  # type: ignore[attr-defined]
        at=timezone.now(),
    )
    if entry is None:
        return render(request, "tenants/ticket_refused.html", status=403)
    if entry.impersonation is None:
        profiles.catch_up(user_id=entry.user_id, org=request.org, at=timezone.now())  # type: ignore[attr-defined]
    user = selectors.get_user(entry.user_id)
    kept = {} if entry.impersonation else proofs.kept_for(request.session, entry.user_id)
    _end_look(request)
    request.session.flush()
    request.session.update(
        {ORG: str(request.org.id), PARENT: entry.parent_key, VIA: entry.via}  # type: ignore[attr-defined]
    )
    if brought := request.brought_host:  # type: ignore[attr-defined]
        request.session[HOST] = brought
    request.session.update({**entry.proofs, **kept})
    if entry.impersonation:
        _begin_look(request, entry.impersonation)
    _open_session(request, user)
    response = HttpResponseRedirect(safe_path(request.GET.get("next", "/")))
    response.delete_cookie(settings.NONCE_COOKIE_NAME)
    return response


def _begin_look(request: HttpRequest, look: Impersonation) -> None:
    """Make the new session one that only looks and that lasts no longer than was asked for."""
    request.session[IMPERSONATION] = look.as_json()
    request.session.set_expiry(look.until)


def _end_look(request: HttpRequest) -> None:
    """Put on record the end of a look, if this session is one."""
    if look := request.impersonation:  # type: ignore[attr-defined]
        impersonations.end(look, org=request.org, at=timezone.now())  # type: ignore[attr-defined]


def _open_session(request: HttpRequest, user: object) -> None:
    """Sign in without Django's signal: the apex has counted this sign-in already."""
    request.session[SESSION_KEY] = str(user.pk)  # type: ignore[attr-defined]
    request.session[BACKEND_SESSION_KEY] = BACKEND
    request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()  # type: ignore[attr-defined]
    request.session.create()


@require_GET
@never_cache
def confirm(request: HttpRequest) -> HttpResponse:
    """A form that waits for a proof: first the way to the apex, then the form itself once more."""
    is_fresh = proofs.is_fresh(request.session, user_id=user_id_of(request), at=timezone.now())
    query = urlencode({FRESH: "1", "next": request.get_full_path()})
    back_url = carried(request, "/settings/")
    context = {
        "kept": proofs.kept_form(request.session),
        "is_fresh": is_fresh,
        "prove_url": f"{reverse('login')}?{query}",
        "minutes": settings.STEP_UP_SECONDS // 60,
        "elsewhere": _elsewhere(request),
        "crumbs": [("Settings", back_url), ("Confirm", None)],
        "back_url": back_url,
    }
    return render(request, "tenants/confirm.html", context)


def _elsewhere(request: HttpRequest) -> dict[str, str] | None:
    """Where else the org is to be asked, if no proof counts on this host."""
    org: selectors.OrgRef = request.org  # type: ignore[attr-defined]
    if not request.brought_host:  # type: ignore[attr-defined]
        return None
    return {"host": own_host(org.slug), "url": f"{org.own_url}/settings/"}


@open_to_all
@ends_impersonation
@require_POST
def leave(request: HttpRequest) -> HttpResponse:
    """Sign out: this host's session, the one on the apex, and with it those on all other hosts.

    The form may not end on another host, so what is left to say is said here.
    """
    if parent := request.session.get(PARENT):
        impersonations.end_below(parent_key=parent, at=timezone.now())
        sign_out(parent_key=parent)
    logout(request)
    return see_other(reverse("signed_out"))


@open_to_all
@require_GET
@never_cache
def signed_out(request: HttpRequest) -> HttpResponse:
    """The last page, and the way back in."""
    return render(request, "tenants/signed_out.html")
