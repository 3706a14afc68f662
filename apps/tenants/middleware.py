"""From a request to the two keys: the host turns the first, membership the second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from allauth.usersessions.middleware import UserSessionsMiddleware
from django.conf import settings
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.http.request import split_domain_port
from django.urls import reverse, set_urlconf
from django.utils import timezone
from django.utils.http import urlencode

from apps.common import problem
from apps.common.errors import NotFound, Unauthenticated
from apps.common.htmx import hx_redirect
from apps.tenants import domains, impersonation, keys, proofs, selectors, standing, zones
from apps.tenants.access import user_id_of
from apps.tenants.backend.apart import release_connections
from apps.tenants.errors import ProofNeeded, ReadOnlyLook
from apps.tenants.impersonation import Impersonation
from apps.tenants.services import activity, impersonations
from apps.tenants.sessions import HOST, ORG

Handler = Callable[[HttpRequest], HttpResponseBase]
HOSTS_SECONDS = 30.0
READS = frozenset({"GET", "HEAD", "OPTIONS"})
ANY_HOST = frozenset({"/healthz", "/readyz", "/metrics", "/status/"})
"""What is answered before anything is asked: neither who nor, on a host that is nobody's, where."""


class HostMiddleware:
    """Turn the first key: the host's schema. A host that is nobody's is 404, whatever the path."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.hosts: dict[str, tuple[float, selectors.OrgRef]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        host = host_of(request)
        response = self._answer(request, host)
        if settings.SECURE_HSTS_SECONDS and request.is_secure() and not domains.is_below_apex(host):
            # For this host alone: what lies below it is its owner's, and may speak plain HTTP.
            response["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
        return response

    def _answer(self, request: HttpRequest, host: str) -> HttpResponseBase:
        keys.reset()
        request.org = None  # type: ignore[attr-defined]
        request.brought_host = ""  # type: ignore[attr-defined]
        if host == settings.APEX_HOST or request.path in ANY_HOST:
            request.urlconf = settings.PUBLIC_SCHEMA_URLCONF
        else:
            org = self.find(host)
            if org is None:
                return problem.respond(request, NotFound("There is nothing at this address."))
            request.org = org  # type: ignore[attr-defined]
            if not domains.is_below_apex(host):
                request.brought_host = host  # type: ignore[attr-defined]
            request.urlconf = settings.ROOT_URLCONF
            keys.use_schema(org.schema)
            structlog.contextvars.bind_contextvars(org=org.slug)
        set_urlconf(request.urlconf)
        response = self.get_response(request)
        if getattr(response, "streaming", False):
            # A stream may last for hours; eight of them on a pool of eight would stop everything.
            release_connections()
        return response

    def find(self, host: str) -> selectors.OrgRef | None:
        """The org of a host, remembered briefly; what may change of it is asked at the door.

        A host below the apex is its org's for good. One that an org brought is asked for each
        time: from the moment that it is taken away, no process serves it.
        """
        if not domains.is_below_apex(host):
            return selectors.find_org_by_host(host)
        at, org = self.hosts.get(host, (0.0, None))
        if org is None or time.monotonic() - at > HOSTS_SECONDS:
            org = selectors.find_org_by_host(host)
            if org is None:
                self.hosts.pop(host, None)
                return None
            self.hosts[host] = (time.monotonic(), org)
        return org


class SignInsMiddleware(UserSessionsMiddleware):  # type: ignore[misc]
    """Keep the list of sign-ins: those on the apex, from which sessions on org hosts follow.

    Listed by itself, such a session would look like a sign-in of its own, and "sign out everywhere
    else" would end those of the very browser that asks.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_apex = request.org is None and request.path not in ANY_HOST  # type: ignore[attr-defined]
        answer: HttpResponseBase = (super().__call__ if is_apex else self.get_response)(request)
        return answer


class EntryMiddleware:
    """Turn the second key for a member's session; on an org's host everything else needs one."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.entered = False  # type: ignore[attr-defined]
        request.shut = request.impersonation = None  # type: ignore[attr-defined]
        if request.path in ANY_HOST:
            return self.get_response(request)  # a probe signs nobody in or out
        if (org := request.org) is None:  # type: ignore[attr-defined]
            if ORG in request.session:
                logout(request)
        elif request.user.is_authenticated:
            enter(request, org)
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Deny by default: a view answers without a member, and takes what an operator sends who
        only looks, if it says so itself.
        """
        look: Impersonation | None = request.impersonation  # type: ignore[attr-defined]
        ends = getattr(view, "ends_impersonation", False)
        if look is not None and request.method not in READS and not ends:
            return refuse_write(request, look)
        if request.org is None or request.entered or getattr(view, "open_to_all", False):  # type: ignore[attr-defined]
            return None
        shut = request.shut or standing.why_shut(org_id=request.org.id, user_id=request.user.pk)  # type: ignore[attr-defined]
        return problem.respond(request, shut) if shut else to_login(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Keep a form that needs a fresh proof, and go and ask for it; nothing was changed."""
        if not isinstance(error, ProofNeeded):
            return None
        proofs.keep_form(request, error.act)
        return hx_redirect(request, reverse("confirm"))


class ZoneMiddleware:
    """Write the times of a page in the zone that its reader chose."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path in ANY_HOST:
            return self.get_response(request)
        with timezone.override(zones.zone_of(request.user)):
            return self.get_response(request)


class CallMiddleware:
    """Deny by default where no session opens anything: a view asks for credentials itself."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if getattr(view, "open_to_all", False):
            return None
        return problem.respond(request, Unauthenticated("This is not part of the API."))


def enter(request: HttpRequest, org: selectors.OrgRef) -> None:
    """Unlock the org's rows, if this session was made for it and its user may still enter."""
    user_id = user_id_of(request)
    session = request.session
    brought: str = request.brought_host  # type: ignore[attr-defined]
    look = impersonation.of_session(session)
    operator_id = look.operator_id if look else None
    made_here = session.get(ORG) == str(org.id) and session.get(HOST, "") == brought
    fresh = (
        selectors.find_entered_org(user_id=user_id, org_id=org.id, operator_id=operator_id)
        if made_here
        else None
    )
    if fresh is None:
        shut = standing.why_shut(org_id=org.id, user_id=user_id) if made_here else None
        request.shut = shut  # type: ignore[attr-defined]
        if shut is None or not shut.may_resume:
            logout(request)
        return
    request.impersonation = look  # type: ignore[attr-defined]
    # The host's org is remembered for a while; a new name must be seen at once.
    request.org = fresh  # type: ignore[attr-defined]
    if request.method not in READS and look is None:
        activity.touch(org_id=org.id, at=timezone.now())
    keys.unlock(org.id)
    request.entered = True  # type: ignore[attr-defined]


def refuse_write(request: HttpRequest, look: Impersonation) -> HttpResponse:
    """Change nothing for who only looks, say why, and put on record what was tried."""
    match = request.resolver_match
    impersonations.note_refused(
        look,
        org=request.org,  # type: ignore[attr-defined]
        method=request.method or "",
        route=match.route if match else "",
        at=timezone.now(),
    )
    why = f"You see this organization as {look.member}, and can change nothing meanwhile."
    return problem.respond(request, ReadOnlyLook(why))


def to_login(request: HttpRequest) -> HttpResponseBase:
    """Send a browser to sign in and back; an htmx request, boosted too, leaves the page for it.

    The way leads over the apex, where a script's request may not follow (connect-src 'self').
    """
    if request.method not in READS:
        refusal = Unauthenticated("Your session has ended. Sign in and send the form again.")
        return problem.respond(request, refusal)
    if request.path in {"/favicon.ico"}:
        raise Http404
    target = f"/login?{urlencode({'next': request.get_full_path()})}"
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": target})
    return HttpResponseRedirect(target)


def host_of(request: HttpRequest) -> str:
    """The host without its port, in lower case, as the client sent it."""
    host, _ = split_domain_port(request.get_host())
    return host
