"""What every page of an org needs, in whichever app: who asks, whether they may, and where."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.forms import Form
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from apps.common.errors import DomainError, NotFound, PermissionDenied
from apps.common.forms import add_refusal
from apps.common.links import PROJECT
from apps.orgs.denials import explain, needed
from apps.orgs.principals import Principal
from apps.orgs.selectors import find_member_principal, get_project
from apps.orgs.services.refusals import refuse
from apps.tenants.access import user_id_of
from apps.tenants.impersonation import of_session
from apps.tenants.selectors import OrgRef, find_entered_org
from apps.tenants.sessions import is_alive

Answer = TypeVar("Answer", bound=HttpResponseBase)


def principal_of(request: HttpRequest) -> Principal:
    """The member in the browser; the middleware lets nobody else as far as a view."""
    found: Principal = request.principal  # type: ignore[attr-defined]
    return found


def org_of(request: HttpRequest) -> OrgRef:
    found: OrgRef = request.org  # type: ignore[attr-defined]
    return found


def check(request: HttpRequest, code: str) -> None:
    """Raise PermissionDenied, naming what is missing; who can give it is said where it is shown."""
    if not principal_of(request).may(code):
        raise needed(code)


def needs(*codes: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Open a page only to who has the permission; with several, to who has all of them."""

    def decorate(view: Callable[..., Answer]) -> Callable[..., Answer]:
        @functools.wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:
            for code in codes:
                check(request, code)
            return view(request, *args, **kwargs)

        checked.needs = codes  # type: ignore[attr-defined]
        return checked

    return decorate


def show_refusal(request: HttpRequest, form: Form, error: DomainError) -> None:
    """Show a service's refusal in the form that asked. One for want of power goes on record and
    says who can help, as where it is answered by itself (`MemberMiddleware`).
    """
    if isinstance(error, PermissionDenied):
        refuse(principal_of(request), error)
        explain(principal_of(request), error, own_url=org_of(request).own_url)
    add_refusal(form, error)


def still_may(request: HttpRequest, code: str) -> Callable[[], bool]:
    """Asks, whenever it is called, whether this session lasts still and its member may that: for
    what lasts longer than a request.
    """
    session, user_id, org_id = request.session.session_key, user_id_of(request), org_of(request).id
    look = of_session(request.session)
    operator_id = look.operator_id if look else None

    def ask() -> bool:
        if not is_alive(session or "", at=timezone.now()):
            return False
        if find_entered_org(user_id=user_id, org_id=org_id, operator_id=operator_id) is None:
            return False
        member = find_member_principal(user_id=user_id)
        return member is not None and member.may(code)

    return ask


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
