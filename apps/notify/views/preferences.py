"""What reaches a member, and by which ways."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.htmx import see_other
from apps.common.links import link
from apps.notify import selectors
from apps.notify.forms import PreferencesForm
from apps.notify.selectors import OWN
from apps.notify.services import inbox, preferences
from apps.notify.views.frame import page
from apps.orgs.pages import command, needs, org_of, principal_of


@require_http_methods(["GET", "HEAD", "POST"])
@needs(OWN)
def index(request: HttpRequest) -> HttpResponse:
    """The kinds there are and the ways that each takes; a POST saves them."""
    by = principal_of(request)
    form = PreferencesForm(
        request.POST if request.method == "POST" else None,
        choices=selectors.list_choices(by=by),
        every=selectors.find_digest(by=by),
    )
    if form.is_valid():
        preferences.save_preferences(
            ways=form.ways(), every=form.cleaned_data["digest"], by=by, at=timezone.now()
        )
        messages.success(request, "Saved. It counts for what happens from now on.")
        return see_other(link(request, "notify:preferences"))
    context = page(
        request,
        "What reaches you",
        form=form,
        email=by.email,
        org_name=org_of(request).name,
        command=command(request, "/v1/notification-preferences"),
    )
    status = 422 if form.is_bound else 200
    return render(request, "notify/preferences.html", context, status=status)


@require_POST
@needs(OWN)
def test(request: HttpRequest) -> HttpResponse:
    """Tell the member something by every way they have chosen, to see that it arrives."""
    inbox.send_test(by=principal_of(request), at=timezone.now())
    messages.success(request, "A test notice is on its way.")
    return see_other(link(request, "notify:preferences"))
