"""What every page of the settings needs: the permission check, the tabs, the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.common.errors import PermissionDenied
from apps.orgs.principals import Principal
from apps.tenants.selectors import OrgRef

View = Callable[..., HttpResponse]

TABS = (
    ("General", "/settings/", "org.view"),
    ("Members", "/settings/members/", "members.view"),
    ("Roles", "/settings/roles/", "roles.view"),
    ("Projects", "/projects/", "projects.view"),
    ("API keys", "/settings/keys/", None),
    ("Close", "/settings/danger/", "org.close"),
)


def principal_of(request: HttpRequest) -> Principal:
    """The member in the browser; the middleware lets nobody else as far as a view."""
    found: Principal = request.principal  # type: ignore[attr-defined]
    return found


def org_of(request: HttpRequest) -> OrgRef:
    found: OrgRef = request.org  # type: ignore[attr-defined]
    return found


def check(request: HttpRequest, code: str) -> None:
    """Raise PermissionDenied, naming what is missing and who can give it."""
    if not principal_of(request).may(code):
        raise PermissionDenied(
            f"This needs the permission {code}. An owner or admin can change your role.",
            permission=code,
        )


def needs(code: str) -> Callable[[View], View]:
    """Open a page only to who has the permission."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            check(request, code)
            return view(request, *args, **kwargs)

        return checked

    return decorate


def page(request: HttpRequest, label: str, **context: Any) -> dict[str, Any]:
    """A settings page's context: its tab, its crumbs, and what it shows."""
    may = principal_of(request).may
    tabs = [
        {"label": name, "url": url, "current": name == label, "count": None}
        for name, url, code in TABS
        if code is None or may(code)
    ]
    return {"settings_nav": tabs, "crumbs": [("Settings", "/settings/"), (label, None)], **context}


def command(request: HttpRequest, line: str) -> str:
    """The same by the API: a line that works once `$MANDATE_KEY` holds a key."""
    origin = org_of(request).url
    return f'curl -H "Authorization: Bearer $MANDATE_KEY" {line.replace("/v1", origin + "/v1", 1)}'
