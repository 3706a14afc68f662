"""The inbox, and the bell that every page has."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.common.htmx import render_page_or_partial, see_other, wants_partial
from apps.common.ids import public_id
from apps.common.links import carried, link, said, turn
from apps.common.pagination import paginate
from apps.notify import selectors
from apps.notify.kinds import label_of
from apps.notify.models import Notice
from apps.notify.selectors import NOTICE, OWN
from apps.notify.services import inbox
from apps.notify.views.frame import page
from apps.orgs.pages import command, needs, principal_of

UNREAD: Final = "unread"
BELL: Final = "bell"


@require_safe
@needs(OWN)
def index(request: HttpRequest) -> HttpResponse:
    """What the member was told; the bell asks for itself (`?part=bell`)."""
    if wants_partial(request) and request.GET.get("part") == BELL:
        return render_page_or_partial(request, "notify/inbox.html", BELL, _bell(request))
    return render_page_or_partial(request, "notify/inbox.html", "results", _found(request))


@require_POST
@needs(OWN)
def open_subject(request: HttpRequest, ref: str) -> HttpResponse:
    """Go to what a notice is about; it is read from then on."""
    by = principal_of(request)
    notice = selectors.get_notice(ref, by=by)
    inbox.mark_read(notice_id=notice.id, by=by, at=timezone.now())
    return see_other(carried(request, notice.path))


@require_POST
@needs(OWN)
def read(request: HttpRequest, ref: str) -> HttpResponse:
    """Note that a notice was seen; its row and the bell change in place."""
    by = principal_of(request)
    notice = selectors.get_notice(ref, by=by)
    inbox.mark_read(notice_id=notice.id, by=by, at=timezone.now())
    if not wants_partial(request):
        return see_other(link(request, "notify:inbox"))
    row = _row(selectors.get_notice(ref, by=by))
    context = {"notice": row, "bell": selectors.count_unread(by=by)}
    return render(request, "notify/inbox.html#read", context)


@require_POST
@needs(OWN)
def read_all(request: HttpRequest) -> HttpResponse:
    """Note that all of them were seen."""
    number = inbox.mark_all_read(by=principal_of(request), at=timezone.now())
    if number:
        messages.success(request, "All notices are marked as read.")
    return see_other(link(request, "notify:inbox"))


def _found(request: HttpRequest) -> dict[str, Any]:
    """A page of the notices that the address asks for."""
    unread = said(request, "status") == UNREAD
    rows = selectors.list_notices(by=principal_of(request), unread=unread)
    found = paginate(rows, after=request.GET.get("after"), before=request.GET.get("before"))
    return page(
        request,
        "Inbox",
        notices=[_row(notice) for notice in found.items],
        unread_only=unread,
        has_unread=bool(selectors.unread_of(principal_of(request))),
        all_url=link(request, "notify:inbox"),
        unread_url=link(request, "notify:inbox", status=UNREAD),
        newer_url=turn(request, "before", found.previous, keep=("status",)),
        older_url=turn(request, "after", found.next, keep=("status",)),
        command=command(request, "/v1/notices"),
    )


def _bell(request: HttpRequest) -> dict[str, Any]:
    return {"bell": selectors.unread_of(principal_of(request))}


def _row(notice: Notice) -> dict[str, Any]:
    return {
        "id": public_id(NOTICE, notice.id),
        "title": notice.title,
        "body": notice.body,
        "kind": label_of(notice.kind),
        "created_at": notice.created_at,
        "is_unread": notice.read_at is None,
    }
