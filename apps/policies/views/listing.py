"""All policies, and what holds for them as a whole."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.common.links import link, said, turn
from apps.common.pagination import NEWEST_FIRST, paginate
from apps.orgs.pages import check, command, needs, principal_of
from apps.policies import decisions, selectors
from apps.policies.forms import SettingsForm
from apps.policies.models import PolicyStatus
from apps.policies.pages import awaited_rows, crumbs
from apps.policies.selectors import POLICY, Standing, standing_of
from apps.policies.services.settings import change_settings

FIELDS: Final = ("q", "status")
STATUSES: Final = [(status.value, status.label) for status in PolicyStatus]


@require_safe
@needs("policies.view")
def index(request: HttpRequest) -> HttpResponse:
    """Every policy that isn't retired; the address holds the filter."""
    q, status = said(request, "q"), said(request, "status")
    status = status if status in PolicyStatus.values else ""
    found = paginate(
        selectors.list_policies(q=q, status=status),
        keyset=NEWEST_FIRST,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    may, head = principal_of(request).may, selectors.get_head()
    day = decisions.count_day(at=timezone.now()) if may("decisions.view") else None
    context = {
        "crumbs": [("Policies", None)],
        "policies": [_row(request, standing_of(row), day) for row in found.items],
        "q": q,
        "status": status,
        "statuses": STATUSES,
        "filtered": bool(q or status),
        "head": head,
        "day": day,
        "clear_url": link(request, "policies:policies"),
        "newer_url": turn(request, "before", found.previous, keep=FIELDS),
        "older_url": turn(request, "after", found.next, keep=FIELDS),
        "can_edit": may("policies.edit"),
        "can_decide": may("decisions.view"),
        "command": command(request, "/v1/policies"),
    }
    return render_page_or_partial(request, "policies/list.html", "results", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs("policies.view")
def settings(request: HttpRequest) -> HttpResponse:
    """What holds where no policy is attached, how long documents stay, and who changes policies."""
    head = selectors.get_head()
    initial = {name: getattr(head, name) for name in SettingsForm.base_fields}
    form = SettingsForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST":
        check(request, "policies.activate")
        if form.is_valid() and _change(request, form):
            return see_other(link(request, "policies:settings"))
    context = {
        "crumbs": crumbs(request, ("Settings", None)),
        "head": head,
        "form": form,
        "awaited": awaited_rows(request, selectors.list_requests_about(head.id)),
        "can_activate": principal_of(request).may("policies.activate"),
        "command": command(request, "/v1/policies/settings"),
    }
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "policies/settings.html", "form", context, status=status)


def _change(request: HttpRequest, form: SettingsForm) -> bool:
    by = principal_of(request)
    try:
        done = change_settings(
            fields=form.cleaned_data,
            by_member_id=by.member_id,
            actor=by.actor,
            at=timezone.now(),
        )
    except DomainError as error:
        add_refusal(form, error)
        return False
    if done.approval:
        messages.warning(request, "Saved, but for what waits for a second person to approve it.")
    else:
        messages.success(request, "The settings of policies were changed.")
    return True


def _row(request: HttpRequest, standing: Standing, day: decisions.Day | None) -> dict[str, Any]:
    ref, newest, active = public_id(POLICY, standing.id), standing.newest, standing.active
    return {
        "name": newest.name,
        "purpose": newest.purpose,
        "url": link(request, "policies:policy", ref),
        "status": "active" if active else newest.status,
        "version": active.version if active else newest.version,
        "waiting": standing.waiting_label if active else "",
        "attached": [selectors.label_of(row) for row in standing.attachments],
        "decisions": day.by_policy.get(ref, 0) if day else None,
        "changed_at": newest.created_at,
    }
