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
from apps.tenants import domains, keys, proofs, selectors
from apps.tenants.access import user_id_of
from apps.tenants.backend.apart import release_connections
from apps.tenants.errors import ProofNeeded
from apps.tenants.services import activity
from apps.tenants.sessions import HOST, ORG

Handler = Callable[[HttpRequest], HttpResponseBase]
HOSTS_SECONDS = 30.0
READS = frozenset({"GET", "HEAD", "OPTIONS"})
ANY_HOST = frozenset({"/healthz", "/readyz", "/metrics"})


class HostMiddleware:
    """Turn the first key: the host's schema. A host that is nobody's is 404, whatever the path."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.hosts: dict[str, tuple[float, selectors.OrgRef]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        keys.reset()
        host = host_of(request)
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
        if request.brought_host and settings.SECURE_HSTS_SECONDS and request.is_secure():  # type: ignore[attr-defined]
            # For this host alone: what lies below it is its owner's, and may speak plain HTTP.
            response["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
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
        is_apex = request.org is None  # type: ignore[attr-defined]
        answer: HttpResponseBase = (super().__call__ if is_apex else self.get_response)(request)
        return answer


class EntryMiddleware:
    """Turn the second key for a member's session; on an org's host everything else needs one."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.entered = False  # type: ignore[attr-defined]
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
        """Deny by default: a view answers without a member only if it says so itself."""
        if request.org is None or request.entered or getattr(view, "open_to_all", False):  # type: ignore[attr-defined]
            return None
        return to_login(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Keep a form that needs a fresh proof, and go and ask for it; nothing was changed."""
        if not isinstance(error, ProofNeeded):
            return None
        proofs.keep_form(request, error.act)
        return hx_redirect(request, reverse("confirm"))


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
    brought: str = request.brought_host  # type: ignore[attr-defined]
    session = request.session
    made_here = session.get(ORG) == str(org.id) and session.get(HOST, "") == brought
    fresh = selectors.find_entered_org(user_id=user_id, org_id=org.id) if made_here else None
    if fresh is None:
        logout(request)
        return
    # The host's org is remembered for a while; a new name must be seen at once.
    request.org = fresh  # type: ignore[attr-defined]
    if request.method not in READS:
        activity.touch(org_id=org.id, at=timezone.now())
    keys.unlock(org.id)
    request.entered = True  # type: ignore[attr-defined]


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
