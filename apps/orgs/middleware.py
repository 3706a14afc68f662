"""Who the browser's user is inside the org: their member row, role and permissions."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponseBase

from apps.common.errors import PermissionDenied
from apps.orgs import selectors
from apps.orgs.permissions import OWNERS_ONLY
from apps.orgs.services.refusals import refuse
from apps.tenants.access import user_id_of

Handler = Callable[[HttpRequest], HttpResponseBase]


class MemberMiddleware:
    """Set `request.principal` for a session that was let in; who has no role here is out."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.principal = None  # type: ignore[attr-defined]
        if getattr(request, "entered", False):
            principal = selectors.find_member_principal(user_id=user_id_of(request))
            if principal is None:
                logout(request)
                raise Http404
            if request.brought_host:  # type: ignore[attr-defined]
                principal = principal.without(OWNERS_ONLY)
            request.principal = principal  # type: ignore[attr-defined]
            structlog.contextvars.bind_contextvars(principal=principal.actor.id)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """Put a refused page on record, as the API does; the answer is somebody else's."""
        principal = getattr(request, "principal", None)
        if isinstance(error, PermissionDenied) and principal is not None:
            refuse(principal, error)
