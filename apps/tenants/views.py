"""The apex's own pages: the way in, one's organizations, a new one and its progress."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from allauth.account.internal.stagekit import unstash_login
from allauth.usersessions.models import UserSession
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.common.errors import Conflict
from apps.common.htmx import hx_redirect, render_page_or_partial, see_other, wants_partial
from apps.tenants import apex_log, factors, proofs, selectors, standing
from apps.tenants.access import user_id_of
from apps.tenants.errors import SlugTaken
from apps.tenants.forms import OrgForm
from apps.tenants.models import Org
from apps.tenants.services import orgs, signins, tickets

FRESH: Final = "fresh"
"""The parameter of a way over the apex that ends only with a fresh proof."""


@require_GET
def landing(request: HttpRequest) -> HttpResponse:
    """The apex: what this is, and the two ways in."""
    if request.user.is_authenticated:
        return redirect("tenants:home")
    return render_page_or_partial(request, "tenants/landing.html", "page", {})


@require_GET
@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """One's organizations, and those that one is invited to; somebody with exactly one that is new
    is taken to it.
    """
    user_id = user_id_of(request)
    found = selectors.list_orgs_of(user_id)
    if len(found) == 1 and found[0].state == Org.State.PROVISIONING:
        return redirect("tenants:provisioning", slug=found[0].slug)
    invited = selectors.list_invitations_to(user_id, at=timezone.now())
    context = {"orgs": found, "invitations": invited}
    return render_page_or_partial(request, "tenants/home.html", "page", context)


@require_GET
@never_cache
@login_required
def security(request: HttpRequest) -> HttpResponse:
    """How one's account is protected, and where it is signed in."""
    user: Any = request.user
    context = {
        "factors": factors.get_factors(user_id_of(request)),
        "has_password": user.has_usable_password(),
        "sessions": UserSession.objects.purge_and_list(user),
    }
    return render(request, "tenants/security.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def new_org(request: HttpRequest) -> HttpResponse:
    """Name an organization and have it made."""
    form = OrgForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            org = orgs.request_org(
                name=form.cleaned_data["name"],
                slug=form.cleaned_data["slug"],
                owner_id=request.user.pk,
                at=timezone.now(),
            )
            return see_other(reverse("tenants:provisioning", args=[org.slug]))
        except SlugTaken as error:
            form.add_error("slug", str(error))
        except Conflict as error:
            form.add_error(None, str(error))
    status = 422 if form.is_bound else 200
    context = {"form": form, "apex": settings.APEX_HOST}
    return render_page_or_partial(request, "tenants/org_new.html", "form", context, status=status)


@require_GET
@never_cache
@login_required
def provisioning(request: HttpRequest, slug: str) -> HttpResponse:
    """How far the new organization is; once it is ready, the browser goes there."""
    org = _own_org(request, slug)
    if org.is_active and wants_partial(request):
        return hx_redirect(request, org.url)
    return render_page_or_partial(request, "tenants/provisioning.html", "progress", {"org": org})


@require_POST
@login_required
def retry(request: HttpRequest, slug: str) -> HttpResponse:
    """Try once more to make an organization after a failure."""
    user: Any = request.user
    orgs.retry_provisioning(org_id=_own_org(request, slug).id, actor=apex_log.actor_of(user))
    return see_other(reverse("tenants:provisioning", args=[slug]))


@require_POST
@login_required
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Sign out one of one's own browsers, and the organizations' sessions that came from it."""
    if not signins.end(session_id=session_id, user_id=user_id_of(request), at=timezone.now()):
        raise Http404
    messages.success(request, "That session was signed out.")
    return see_other(reverse("usersessions_list"))


@require_GET
@never_cache
def handover(request: HttpRequest) -> HttpResponseBase:
    """Send a signed-in member to an org's host with a ticket; a stranger learns of no org here."""
    if not request.user.is_authenticated:
        query = urlencode({"next": request.get_full_path()})
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{query}")
    org = selectors.find_org_by_slug(request.GET.get("org", ""))
    if org is None or not selectors.is_member(user_id=request.user.pk, org_id=org.id):
        refusal = org and standing.why_shut(org_id=org.id, user_id=request.user.pk)
        if refusal and "org_name" in refusal.extra:
            raise refusal
        raise Http404
    nonce_hash = tickets.parse_nonce_hash(request.GET.get("nonce", ""))
    host = request.GET.get("host", "")
    origin = selectors.find_origin(org=org, host=host)
    if nonce_hash is None or origin is None:
        raise Http404
    now = timezone.now()
    if FRESH in request.GET and not proofs.is_fresh(
        request.session, user_id=request.user.pk, at=now
    ):
        return proofs.ask(request)
    token = tickets.issue_ticket(
        org_id=org.id,
        user_id=request.user.pk,
        parent_key=str(request.session.session_key),
        nonce_hash=nonce_hash,
        host=host,
        at=now,
    )
    query = urlencode({"ticket": token, "next": request.GET.get("next", "/")})
    return HttpResponseRedirect(f"{origin}/session?{query}")


def widen_form_action(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a sign-in form end on the org's host it was asked for, that exact origin only."""

    @functools.wraps(view)
    def widened(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        origin = _origin_asked_for(request)
        if origin is None:
            return view(request, *args, **kwargs)
        return csp_update({"form-action": [origin]})(view)(request, *args, **kwargs)

    return widened


def _origin_asked_for(request: HttpRequest) -> str | None:
    """The origin of the org whose hand-over the form's `next` leads to, if there is such an org."""
    target = urlsplit(
        request.POST.get("next") or request.GET.get("next") or _next_of_login(request)
    )
    asked = parse_qs(target.query)
    slug, host = (asked.get(name, [""])[0] for name in ("org", "host"))
    if target.netloc or target.path != "/account/handover/" or not slug:
        return None
    org = selectors.find_org_by_slug(slug)
    return selectors.find_origin(org=org, host=host) if org else None


def _next_of_login(request: HttpRequest) -> str:
    """Where a sign-in that waits for its second step will lead: allauth keeps it in the session."""
    login = unstash_login(request, peek=True)
    return (login.redirect_url if login else None) or ""


def _own_org(request: HttpRequest, slug: str) -> selectors.OrgRef:
    for org in selectors.list_orgs_of(user_id_of(request)):
        if org.slug == slug:
            return org
    raise Http404


def safe_path(path: str) -> str:
    """A path of this very host, else its root: what a link asked for may be anything."""
    safe = url_has_allowed_host_and_scheme(path, allowed_hosts=None) and path.startswith("/")
    return path if safe else "/"
