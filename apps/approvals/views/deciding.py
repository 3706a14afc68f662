"""Saying yes or no to a request, breaking the glass, taking it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from django_htmx.http import trigger_client_event

from apps.approvals import selectors
from apps.approvals.forms import CommentForm, GlassForm
from apps.approvals.models import Approval, ApprovalStatus
from apps.approvals.presenting import LOOKS, approval_url
from apps.approvals.services import requests, voting
from apps.approvals.views.detail import GLASS_ID, TEMPLATE, page_of
from apps.common.formats import at_most
from apps.common.htmx import see_other, toast, wants_partial
from apps.orgs.pages import needs, principal_of

EVENT: Final = "approval:decided"


@require_POST
@never_cache
@needs(selectors.DECIDE)
def approve(request: HttpRequest, ref: str) -> HttpResponse:
    """Vote for it."""
    return _vote(request, ref, voting.approve)


@require_POST
@never_cache
@needs(selectors.DECIDE)
def reject(request: HttpRequest, ref: str) -> HttpResponse:
    """Vote against it, which rejects it."""
    return _vote(request, ref, voting.reject)


@require_POST
@never_cache
@needs(selectors.BREAK_GLASS)
def break_glass(request: HttpRequest, ref: str) -> HttpResponse:
    """Approve it alone; everybody who ever decides is told why."""
    found, form = selectors.get_approval(ref), GlassForm(request.POST, auto_id=GLASS_ID)
    if not form.is_valid():
        return _refused(request, page_of(request, found, glass_form=form))
    voting.break_glass(
        approval_id=found.id, **form.cleaned_data, by=principal_of(request), at=timezone.now()
    )
    messages.success(request, "Approved. Everybody who decides approvals was told why.")
    return see_other(approval_url(request, found))


@require_POST
@never_cache
@needs(selectors.VIEW)
def cancel(request: HttpRequest, ref: str) -> HttpResponse:
    """Take back what one asked for."""
    found = selectors.get_approval(ref)
    requests.cancel_request(approval_id=found.id, by=principal_of(request), at=timezone.now())
    messages.success(request, "The request was taken back.")
    return see_other(approval_url(request, found))


def _vote(request: HttpRequest, ref: str, service: Callable[..., Approval]) -> HttpResponse:
    found, form = selectors.get_approval(ref), CommentForm(request.POST)
    if not form.is_valid():
        return _refused(request, page_of(request, found, form=form))
    service(
        approval_id=found.id, **form.cleaned_data, voter=principal_of(request), at=timezone.now()
    )
    return _done(request, ref)


def _done(request: HttpRequest, ref: str) -> HttpResponse:
    """The request as it is now, with the count in the sidebar; without scripts, its page."""
    found = selectors.get_approval(ref)
    word = LOOKS[ApprovalStatus(found.status)][1]
    text = "Your vote counts. Others are still asked." if found.is_pending else f"{word}."
    if not wants_partial(request):
        messages.success(request, text)
        return see_other(approval_url(request, found))
    # Read again: the count came along with the member before the vote was cast.
    waiting = selectors.count_waiting_now(principal_of(request))
    context = {
        **page_of(request, found),
        "is_decided": True,
        "waiting": at_most(waiting, selectors.COUNTED),
    }
    answer = render(request, f"{TEMPLATE}#live", context)
    return trigger_client_event(toast(answer, text), EVENT, {"approval": ref})


def _refused(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    template = f"{TEMPLATE}#live" if wants_partial(request) else TEMPLATE
    return render(request, template, context, status=422)
