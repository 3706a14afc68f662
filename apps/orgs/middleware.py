"""Who the browser's user is inside the org: their member row, role and permissions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponseBase

from apps.common.errors import PermissionDenied
from apps.common.links import carried
from apps.orgs import selectors
from apps.orgs.denials import explain
from apps.orgs.permissions import OWNERS_ONLY
from apps.orgs.services.refusals import refuse
from apps.tenants.access import user_id_of

Handler = Callable[[HttpRequest], HttpResponseBase]


class MemberMiddleware:
    """Set `request.principal` for a session that was let in; who has no role here is out.

    An operator who looks as a member sees what that one may see, and acts under their own name.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.principal = None  # type: ignore[attr-defined]
        if getattr(request, "entered", False):
            principal = selectors.find_member_principal(user_id=user_id_of(request))
            if principal is None:
                logout(request)
                raise Http404
            if look := request.impersonation:  # type: ignore[attr-defined]
                structlog.contextvars.bind_contextvars(as_member=principal.actor.id)
                principal = replace(principal, actor=look.actor)
            if request.brought_host:  # type: ignore[attr-defined]
                principal = principal.without(OWNERS_ONLY)
            request.principal = principal  # type: ignore[attr-defined]
            structlog.contextvars.bind_contextvars(principal=principal.actor.id)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """Put a refused page on record and say why, as the API does; the answer is another's."""
        principal = getattr(request, "principal", None)
        if isinstance(error, PermissionDenied) and principal is not None:
            refuse(principal, error)
            explain(principal, error, own_url=request.org.own_url)  # type: ignore[attr-defined]


class ProjectMiddleware:
    """Carry the selected project over the redirect after a form: what follows still shows it.

    Only within the host, and only for its members: the doors know of no project.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        place = answer.headers.get("Location", "")
        is_within = place.startswith("/") and not place.startswith("//")
        if is_within and getattr(request, "principal", None) is not None:
            answer["Location"] = carried(request, place)
        return answer
