"""What every page of an org needs, in whichever app: who asks, whether they may, and where."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from apps.common.errors import NotFound, PermissionDenied
from apps.common.links import PROJECT
from apps.orgs.principals import Principal
from apps.orgs.selectors import get_project
from apps.tenants.selectors import OrgRef

View = Callable[..., HttpResponse]


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


def command(request: HttpRequest, line: str) -> str:
    """The same by the API: a line that works once `$MANDATE_KEY` holds a key."""
    origin = org_of(request).url
    return f'curl -H "Authorization: Bearer $MANDATE_KEY" {line.replace("/v1", origin + "/v1", 1)}'


def post_command(request: HttpRequest, path: str, body: str) -> str:
    """A POST of a JSON body, as `command` writes it."""
    return command(request, f'-H "Content-Type: application/json" {path} -d {shlex.quote(body)}')


def selected_project(request: HttpRequest) -> UUID | None:
    """The project that the page is narrowed to; raises NotFound for one that isn't there."""
    slug = request.GET.get(PROJECT, "")
    if not slug:
        return None
    try:
        return get_project(slug).id
    except NotFound as error:
        raise NotFound("There is no such project.") from error
