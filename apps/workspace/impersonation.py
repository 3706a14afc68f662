"""Where an operator who looks through a member's eyes ends it, and what is said afterwards."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.common.htmx import see_other
from apps.tenants.access import open_to_all
from apps.tenants.impersonation import ends_impersonation
from apps.tenants.services import impersonations


@open_to_all
@ends_impersonation
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The look that lasts, or that it is over; a POST ends it. For a member there is no such page.

    The form may not end on another host, so the way back to the apex is a link.
    """
    look = request.impersonation  # type: ignore[attr-defined]
    if look is None and request.user.is_authenticated:
        raise Http404
    if request.method == "POST":
        if look is not None:
            impersonations.end(look, org=request.org, at=timezone.now())  # type: ignore[attr-defined]
            logout(request)
        return see_other(reverse("workspace:impersonation"))
    context = {"operators_url": f"{settings.PUBLIC_URL}/admin/"}
    return render(request, "workspace/impersonation.html", context)
