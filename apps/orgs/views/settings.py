"""The organization itself: its name, and its end."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import hx_redirect, see_other
from apps.common.ids import public_id
from apps.orgs.forms import CloseForm, NameForm
from apps.orgs.pages import check, command, needs, org_of, principal_of
from apps.orgs.selectors import count_members, count_overview
from apps.orgs.services.org import close_org, rename_org
from apps.orgs.settings_pages import page
from apps.tenants import proofs
from apps.tenants.selectors import get_plan_of
from apps.tenants.services.orgs import GRACE


@require_http_methods(["GET", "HEAD", "POST"])
@needs("org.view")
def general(request: HttpRequest) -> HttpResponse:
    """What the organization is called, and where it is found."""
    org = org_of(request)
    form = NameForm(request.POST if request.method == "POST" else None, initial={"name": org.name})
    if request.method == "POST":
        check(request, "org.manage")
        if form.is_valid() and _rename(request, form):
            messages.success(request, "The organization was renamed.")
            return see_other(reverse("orgs:settings_general"))
    context = page(
        request,
        "General",
        org={
            "id": public_id("org", org.id),
            "name": org.name,
            "slug": org.slug,
            "url": org.url,
            "created_at": org.created_at,
        },
        plan=get_plan_of(org.id),
        members=count_members(),
        form=form,
        can_edit=principal_of(request).may("org.manage"),
        command=command(request, "/v1/me"),
    )
    status = 422 if form.is_bound else 200
    return render(request, "orgs/settings_general.html", context, status=status)


def _rename(request: HttpRequest, form: NameForm) -> bool:
    try:
        rename_org(name=form.cleaned_data["name"], by=principal_of(request), at=timezone.now())
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


@require_http_methods(["GET", "HEAD", "POST"])
@needs("org.close")
def danger(request: HttpRequest) -> HttpResponse:
    """Close the organization; afterwards only the account page on the apex can undo it."""
    org = org_of(request)
    form = CloseForm(request.POST if request.method == "POST" else None, org_name=org.name)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        proofs.require(request, "Close organization", at=now)
        close_org(by=principal_of(request), at=now)
        return hx_redirect(request, reverse("signed_out"))
    context: dict[str, Any] = page(
        request,
        "Close",
        org={"name": org.name, "slug": org.slug},
        grace_days=GRACE.days,
        counts=count_overview(),
        form=form,
    )
    status = 422 if form.is_bound else 200
    return render(request, "orgs/settings_danger.html", context, status=status)
