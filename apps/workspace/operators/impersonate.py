"""An operator asks to see an org through a member's eyes: as whom, why, for how long.

The browser first fetches a nonce from the org's host, as at every entry, so that what is opened
here is good for this browser only; then the form stands on the apex, where proofs are given.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from apps.common.errors import Invalid, NotFound
from apps.common.forms import add_refusal
from apps.common.htmx import see_other
from apps.common.ids import parse_id
from apps.tenants import proofs
from apps.tenants.access import user_id_of
from apps.tenants.errors import OrgNotReady
from apps.tenants.models import User
from apps.tenants.org_views import AS
from apps.tenants.selectors import OrgRef, find_org_by_slug, get_user, is_member
from apps.tenants.services import impersonations, tickets
from apps.workspace.forms import ImpersonationForm
from apps.workspace.operators.base import kept_fields


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Raises Http404 for an org that isn't there, OrgNotReady for one that nobody can enter."""
    org = find_org_by_slug(slug)
    if org is None:
        raise Http404
    if not org.is_active:
        raise OrgNotReady(f"{slug} is {org.state}: its workspace is shut, to its members too.")
    nonce_hash = tickets.parse_nonce_hash(request.GET.get("nonce", ""))
    if nonce_hash is None:
        query = urlencode({AS: request.GET.get(AS, "")})
        return HttpResponseRedirect(f"{org.own_url}/login?{query}")
    is_sent = request.method == "POST"
    if not proofs.is_fresh(request.session, user_id=user_id_of(request), at=timezone.now()):
        if is_sent:
            proofs.keep_form(request, "Look as this member")
        return proofs.ask(request)
    # The form ends on the org's host, and on no other.
    ask = partial(_ask, org=org, nonce_hash=nonce_hash)
    return csp_update({"form-action": [org.own_url]})(ask)(request)


def _ask(request: HttpRequest, *, org: OrgRef, nonce_hash: bytes) -> HttpResponseBase:
    is_sent = request.method == "POST"
    given = {"email": _asked_for(request, org), **kept_fields(request)}
    form = ImpersonationForm(request.POST if is_sent else None, initial=given)
    if is_sent and form.is_valid():
        try:
            return _start(request, org, form, nonce_hash)
        except Invalid as error:
            add_refusal(form, error)
    context = {"form": form, "org": org}
    return render(request, "operators/impersonate.html", context, status=422 if is_sent else 200)


def _start(
    request: HttpRequest, org: OrgRef, form: ImpersonationForm, nonce_hash: bytes
) -> HttpResponseBase:
    operator: Any = request.user
    now = timezone.now()
    token = impersonations.start(
        org=org,
        email=form.cleaned_data["email"],
        reason=form.cleaned_data["reason"],
        until=now + form.duration,
        operator=operator,
        parent_key=str(request.session.session_key),
        nonce_hash=nonce_hash,
        at=now,
    )
    request.session.pop(proofs.KEPT, None)
    return see_other(f"{org.own_url}/session?{urlencode({'ticket': token, 'next': '/'})}")


def _asked_for(request: HttpRequest, org: OrgRef) -> str:
    """The address of the member whose row the operator comes from."""
    try:
        user_id = parse_id("usr", request.GET.get(AS, ""))
    except NotFound:
        return ""
    is_theirs = is_member(user_id=user_id, org_id=org.id)
    user: User | None = get_user(user_id) if is_theirs else None
    return user.email if user else ""
