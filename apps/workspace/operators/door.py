"""The one way into the site of an org: asked for with a reason, opened for a time, recorded.

No address below `/admin/orgs/<slug>/` is an address of the apex: everything goes through `enter`,
which holds both of the org's keys around the whole answer and lets nothing be sent but to a list
with actions (actions.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from django.contrib.sessions.backends.base import SessionBase
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import (
    get_script_prefix,
    get_urlconf,
    resolve,
    reverse,
    set_script_prefix,
    set_urlconf,
)
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.common.errors import PermissionDenied
from apps.common.htmx import see_other
from apps.tenants import keys, proofs, schemas
from apps.tenants.access import user_id_of
from apps.tenants.errors import OrgNotReady
from apps.tenants.models import Org
from apps.tenants.selectors import OrgRef, ref
from apps.tenants.services import activity
from apps.workspace.forms import InspectionForm
from apps.workspace.operators.actions import acts_at
from apps.workspace.operators.base import kept_fields, operator
from apps.workspace.services import inspections

OPENED: Final = "_mandate_inspections"
URLCONF: Final = "apps.workspace.operators.org_urls"
CLOSE: Final = "close/"
HAS_ROWS: Final = (Org.State.ACTIVE, Org.State.SUSPENDED, Org.State.CLOSING)


@dataclass(frozen=True, slots=True)
class Look:
    """An open door: into which org, and until when."""

    org: OrgRef
    url: str
    impersonate_url: str
    until: datetime

    @property
    def close_url(self) -> str:
        return f"{self.url}{CLOSE}"


@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, slug: str, rest: str = "") -> HttpResponseBase:
    """A page of the org's site for whom the door is open, the question why for everybody else.

    Raises Http404 for an org that isn't there, OrgNotReady for one without rows to look at,
    PermissionDenied for what would change one.
    """
    org, now = _org(slug), timezone.now()
    look = _open_door(request, org, now)
    if look is None:
        return _ask(request, org, rest, now)
    if rest == CLOSE and request.method == "POST":
        return _close(request, org, now)
    if request.method == "POST":
        if not acts_at(rest):
            raise PermissionDenied("Nothing of an organization is changed by hand.")
        activity.touch(org_id=org.id, at=now)
    return _show(request, look, rest)


def _org(slug: str) -> OrgRef:
    found = Org.objects.filter(slug=slug).first()
    if found is None:
        raise Http404
    if found.state not in HAS_ROWS:
        raise OrgNotReady(f"{slug} is {found.state}: there is nothing to look into.")
    if found.schema_version != schemas.current_version():
        raise OrgNotReady(f"{slug} is older than this version and has yet to be migrated.")
    return ref(found)


def _url(org: OrgRef) -> str:
    return reverse("operators:org", args=[org.slug])


def _open_door(request: HttpRequest, org: OrgRef, now: datetime) -> Look | None:
    """The door that this session opened, if its time isn't over."""
    noted = request.session.get(OPENED, {}).get(str(org.id))
    until = datetime.fromisoformat(noted) if noted else now
    if until <= now:
        return None
    return Look(org, _url(org), reverse("operators:impersonate", args=[org.slug]), until)


def _ask(request: HttpRequest, org: OrgRef, rest: str, now: datetime) -> HttpResponseBase:
    """Have the operator say why, after a fresh proof that it is they; then open the door."""
    is_sent = request.method == "POST"
    if rest and is_sent:
        raise PermissionDenied("This is not open to you, or not any more.")
    if rest:
        return HttpResponseRedirect(_url(org))
    if not proofs.is_fresh(request.session, user_id=user_id_of(request), at=now):
        if is_sent:
            proofs.keep_form(request, "Look into")
        return proofs.ask(request)
    form = InspectionForm(request.POST if is_sent else None, initial=kept_fields(request))
    if is_sent and form.is_valid():
        return _open(request, org, form, now)
    context = {"form": form, "org": org}
    return render(request, "operators/door.html", context, status=422 if is_sent else 200)


def _open(
    request: HttpRequest, org: OrgRef, form: InspectionForm, now: datetime
) -> HttpResponseBase:
    until = now + form.duration
    inspections.open_inspection(
        org=org,
        reason=form.cleaned_data["reason"],
        until=until,
        actor=operator(request),
        at=now,
    )
    request.session.pop(proofs.KEPT, None)
    _note(request.session, {**_lasting(request.session, now), str(org.id): until.isoformat()})
    return see_other(_url(org))


def _close(request: HttpRequest, org: OrgRef, now: datetime) -> HttpResponse:
    """Shut the door before its time, first of all on record."""
    inspections.close_inspection(org=org, actor=operator(request), at=now)
    left = {
        key: until for key, until in _lasting(request.session, now).items() if key != str(org.id)
    }
    _note(request.session, left)
    return see_other(reverse("admin:tenants_org_changelist"))


def _lasting(session: SessionBase, now: datetime) -> dict[str, str]:
    noted: dict[str, str] = session.get(OPENED, {})
    return {key: until for key, until in noted.items() if datetime.fromisoformat(until) > now}


def _note(session: SessionBase, opened: dict[str, str]) -> None:
    session[OPENED] = opened


def _show(request: HttpRequest, look: Look, rest: str) -> HttpResponseBase:
    """A page of the org's site, written while both of its keys are held."""
    structlog.contextvars.bind_contextvars(org=look.org.slug)
    request.look = look  # type: ignore[attr-defined]
    with keys.holding(look.org.schema, look.org.id), _mounted(request, look.url):
        match = request.resolver_match = resolve(f"/{rest}", urlconf=URLCONF)
        response: Any = match.func(request, *match.args, **match.kwargs)
        if callable(getattr(response, "render", None)):
            response = response.render()
    answer: HttpResponseBase = response
    return answer


@contextmanager
def _mounted(request: HttpRequest, prefix: str) -> Iterator[None]:
    """Have addresses lead below `prefix`: Django's admin knows none with an org in it."""
    before = get_script_prefix(), get_urlconf(), request.resolver_match
    set_script_prefix(prefix)
    set_urlconf(URLCONF)
    try:
        yield
    finally:
        set_script_prefix(before[0])
        set_urlconf(before[1])
        request.resolver_match = before[2]
