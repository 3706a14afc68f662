"""The lists of channels: a member's own, and the org's in its settings."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import see_other
from apps.common.ids import public_id
from apps.common.links import link
from apps.notify import selectors
from apps.notify.forms import ChannelForm
from apps.notify.gateways.services import label_of
from apps.notify.models import Channel
from apps.notify.selectors import CHANNEL, MANAGE, OWN
from apps.notify.services import channels
from apps.notify.views import frame
from apps.orgs import settings_pages
from apps.orgs.pages import command, needs, principal_of

ORG_TAB = "Notifications"
OWN_TAB = "Your channels"


@sensitive_post_parameters("url")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs(OWN)
def own(request: HttpRequest) -> HttpResponse:
    """The member's own channels; a POST adds one."""
    return _index(request, own=True)


@sensitive_post_parameters("url")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs(OWN, MANAGE)
def of_org(request: HttpRequest) -> HttpResponse:
    """The org's channels; a POST adds one."""
    return _index(request, own=False)


def frame_of(request: HttpRequest, *, own: bool, below: str = "", **context: Any) -> dict[str, Any]:
    """The page's context, in the frame of whose channels they are."""
    if own:
        return frame.page(request, OWN_TAB, below=below, **context)
    return settings_pages.page(request, ORG_TAB, below=below, **context)


def row_of(channel: Channel) -> dict[str, Any]:
    """A channel as pages show it."""
    return {
        "id": public_id(CHANNEL, channel.id),
        "name": channel.name,
        "service": label_of(channel.service),
        "hint": channel.hint,
        "state": channel.state,
        "kinds": channel.kinds,
        "failures": channel.failures,
        "last_error": channel.last_error,
        "last_sent_at": channel.last_sent_at,
        "paused_at": channel.paused_at,
        "created_at": channel.created_at,
        "is_orgs": channel.is_orgs,
    }


def _index(request: HttpRequest, *, own: bool) -> HttpResponse:
    by = principal_of(request)
    form = ChannelForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and (made := _add(request, form, own=own)):
        return _answer(request, made, own=own)
    context = frame_of(
        request,
        own=own,
        form=form,
        is_own=own,
        channels=[row_of(channel) for channel in selectors.list_channels(by=by, own=own)],
        command=command(request, "/v1/channels"),
    )
    status = 422 if form.is_bound else 200
    return render(request, "notify/channels.html", context, status=status)


def _add(request: HttpRequest, form: ChannelForm, *, own: bool) -> channels.NewChannel | None:
    """The channel that a valid form asks for; None if it was refused, which the form then says."""
    try:
        return channels.create_channel(
            **form.cleaned_data, own=own, by=principal_of(request), at=timezone.now()
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


def _answer(request: HttpRequest, made: channels.NewChannel, *, own: bool) -> HttpResponse:
    """The channel's page; before it, once and for no cache, the secret of a webhook."""
    url = link(request, "notify:channel", public_id(CHANNEL, made.channel.id))
    if not made.secret:
        messages.success(request, f"{made.channel.name} was added. Send a test to see it work.")
        return see_other(url)
    shown = {"channel": row_of(made.channel), "channel_url": url, "secret": made.secret}
    context = frame_of(request, own=own, below=made.channel.name, **shown)
    return render(request, "notify/channel_created.html", context)
