"""One channel: what went there, a test, and its settings."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.links import link
from apps.notify import selectors
from apps.notify.forms import ChannelChangeForm
from apps.notify.kinds import label_of
from apps.notify.models import Channel, Delivery
from apps.notify.selectors import OWN
from apps.notify.services import channels
from apps.notify.views.channels import frame_of, row_of
from apps.orgs.pages import needs, post_command, principal_of

SHOWN: Final = 20
STATES: Final = {
    Delivery.State.OWED: ("running", "Sending"),
    Delivery.State.SENT: ("succeeded", "Arrived"),
    Delivery.State.FAILED: ("failed", "Given up"),
    Delivery.State.DROPPED: ("cancelled", "Dropped"),
}


@sensitive_post_parameters("url")
@require_http_methods(["GET", "HEAD", "POST"])
@needs(OWN)
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """The channel and what went there lately; a POST changes it."""
    found = selectors.get_channel(ref, by=principal_of(request))
    if request.method != "POST":
        form = ChannelChangeForm(initial={"name": found.name, "kinds": found.kinds})
        return render_page_or_partial(
            request, "notify/channel.html", "deliveries", _context(request, ref, found, form)
        )
    form = ChannelChangeForm(request.POST)
    if form.is_valid() and _change(request, found, form):
        messages.success(request, f"{form.cleaned_data['name']} was changed.")
        return _back(request, ref)
    context = _context(request, ref, found, form)
    return render(request, "notify/channel.html", context, status=422)


@require_POST
@needs(OWN)
def test(request: HttpRequest, ref: str) -> HttpResponse:
    """Send a test message; the page says what comes of it."""
    _do(request, ref, channels.test_channel)
    return _back(request, ref)


@require_POST
@needs(OWN)
def pause(request: HttpRequest, ref: str) -> HttpResponse:
    """Have nothing go there for now."""
    found = _do(request, ref, channels.pause_channel)
    messages.success(request, f"{found.name} is paused.")
    return _back(request, ref)


@require_POST
@needs(OWN)
def resume(request: HttpRequest, ref: str) -> HttpResponse:
    """Have notices go there again."""
    found = _do(request, ref, channels.resume_channel)
    messages.success(request, f"Notices go to {found.name} again.")
    return _back(request, ref)


@require_POST
@needs(OWN)
def remove(request: HttpRequest, ref: str) -> HttpResponse:
    """Forget the channel and its address."""
    found = _do(request, ref, channels.remove_channel)
    messages.success(request, f"{found.name} was removed.")
    return see_other(link(request, "notify:org_channels" if found.is_orgs else "notify:channels"))


def _do(request: HttpRequest, ref: str, service: Any) -> Channel:
    """Have a service do its work on a channel; the channel as it was before."""
    by = principal_of(request)
    found = selectors.get_channel(ref, by=by)
    service(channel_id=found.id, by=by, at=timezone.now())
    return found


def _change(request: HttpRequest, found: Channel, form: ChannelChangeForm) -> bool:
    """Whether the change was made; what the service refuses, the form says."""
    try:
        channels.update_channel(
            channel_id=found.id, **form.cleaned_data, by=principal_of(request), at=timezone.now()
        )
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


def _back(request: HttpRequest, ref: str) -> HttpResponse:
    return see_other(link(request, "notify:channel", ref))


def _context(
    request: HttpRequest, ref: str, found: Channel, form: ChannelChangeForm
) -> dict[str, Any]:
    rows = [_delivery(row) for row in selectors.list_deliveries(found)[:SHOWN]]
    row = row_of(found)
    return frame_of(
        request,
        own=not found.is_orgs,
        below=found.name,
        channel={**row, "kinds": [label_of(code) for code in found.kinds]},
        deliveries=rows,
        is_sending=any(row["is_fresh"] for row in rows),
        form=form,
        command=post_command(request, f"/v1/channels/{ref}/test", "{}"),
    )


def _delivery(row: Delivery) -> dict[str, Any]:
    state, label = STATES[Delivery.State(row.state)]
    is_owed = row.state == Delivery.State.OWED
    if is_owed and row.tries and row.error:
        state, label = "pending", "Tried again later"
    return {
        "title": row.title,
        "kind": label_of(row.kind),
        "state": state,
        "label": label,
        "error": row.error,
        "created_at": row.created_at,
        "tries": row.tries,
        "is_fresh": is_owed and not row.error,
    }
