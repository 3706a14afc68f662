"""The org's doors on the apex: an invitation's link, and the undoing of a closing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.errors import PermissionDenied
from apps.common.htmx import see_other
from apps.orgs import selectors
from apps.orgs.services import invitations
from apps.orgs.services.org import reopen_org
from apps.orgs.tokens import hash_of
from apps.tenants import keys
from apps.tenants import selectors as tenants
from apps.tenants.access import user_id_of


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What one is invited to; a POST accepts it. The link itself is the right to read that much."""
    token_hash, now = hash_of(token), timezone.now()
    found = tenants.find_invitation_org(token_hash=token_hash, at=now)
    if found is None:
        return render(request, "tenants/invitation.html", {"state": "expired"}, status=404)
    org, email = found
    if request.method == "POST":
        return _accept(request, org, token_hash)
    with keys.holding(org.schema, org.id):
        row = selectors.find_open_invitation(token_hash=token_hash, at=now)
        if row is None:
            return render(request, "tenants/invitation.html", {"state": "expired"}, status=404)
        facts = {
            "org_name": org.name,
            "role_label": row.role.name,
            "invited_by": row.invited_by.label,
            "email": row.email,
            "expires_at": row.expires_at,
        }
    return render(request, "tenants/invitation.html", _context(request, email, facts))


def _context(request: HttpRequest, email: str, facts: dict[str, Any]) -> dict[str, Any]:
    here = urlencode({"next": request.path})
    is_other = request.user.is_authenticated and not tenants.has_confirmed(
        user_id=user_id_of(request), email=email
    )
    return {
        "state": "other_person" if is_other else "open",
        "invitation": facts,
        "accept_url": request.path,
        "login_url": f"{reverse('account_login')}?{here}",
        "signup_url": f"{reverse('account_signup')}?{here}",
        "signout_url": reverse("account_logout"),
    }


@login_required
def _accept(request: HttpRequest, org: tenants.OrgRef, token_hash: bytes) -> HttpResponse:
    now = timezone.now()
    with keys.holding(org.schema, org.id):
        row = selectors.find_open_invitation(token_hash=token_hash, at=now)
        if row is None:
            raise Http404
        invitations.accept_invitation(invitation_id=row.id, user_id=user_id_of(request), at=now)
    messages.success(request, f"You are a member of {org.name} now.")
    return see_other(reverse("tenants:home"))


@require_POST
@login_required
def reopen(request: HttpRequest, slug: str) -> HttpResponse:
    """Undo a closing: for who may close it, while it isn't erased."""
    org = next((o for o in tenants.list_orgs_of(user_id_of(request)) if o.slug == slug), None)
    if org is None:
        raise Http404
    with keys.holding(org.schema, org.id):
        by = selectors.find_member_principal(user_id=user_id_of(request))
        if by is None or not by.may("org.close"):
            raise PermissionDenied("Only an owner can undo the closing.")
        reopen_org(by=by, at=timezone.now())
    messages.success(request, f"{org.name} is open again.")
    return see_other(reverse("tenants:home"))
