"""Who must approve what."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.approvals import registry, selectors
from apps.approvals.forms import RuleForm, RuleTermsForm, words_of_wait
from apps.approvals.models import ApprovalRule
from apps.approvals.presenting import kind_of, rule_ref, scope_of
from apps.approvals.services import rules as services
from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.links import link
from apps.orgs.pages import check, command, needs, principal_of
from apps.orgs.selectors import list_project_links

SHOWN: Final = 200
CHOICES: Final = 200


@require_http_methods(["GET", "HEAD", "POST"])
@needs(selectors.VIEW)
def index(request: HttpRequest) -> HttpResponse:
    """All rules; a POST makes one."""
    may_edit = principal_of(request).may(selectors.RULES)
    if request.method == "POST":
        check(request, selectors.RULES)
    form = _form(request) if may_edit else None
    if request.method == "POST" and form and form.is_valid() and _made(request, form):
        messages.success(request, "The rule counts for requests that come.")
        return see_other(link(request, "approvals:rules"))
    context = {
        "crumbs": _crumbs(request, "Rules", None),
        "rules": [_row(request, rule) for rule in selectors.list_rules()[:SHOWN]],
        "form": form,
        "can_edit": may_edit,
        "command": command(request, "/v1/approval-rules"),
    }
    status = 422 if form and form.is_bound else 200
    return render_page_or_partial(request, "approvals/rules.html", "rules", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(selectors.VIEW)
def rule(request: HttpRequest, ref: str) -> HttpResponse:
    """One rule; a POST changes its terms."""
    found = selectors.get_rule(ref)
    if request.method == "POST":
        check(request, selectors.RULES)
    form = RuleTermsForm(
        request.POST if request.method == "POST" else None,
        roles=selectors.list_deciding_roles(),
        waits=found.timeout_minutes,
        initial={
            "quorum": found.quorum,
            "role": found.role.slug if found.role else "",
            "timeout_minutes": found.timeout_minutes,
        },
    )
    if request.method == "POST" and form.is_valid() and _changed(request, found, form):
        messages.success(request, "The rule was changed, for requests that come.")
        return see_other(link(request, "approvals:rules"))
    context = {
        "crumbs": _crumbs(request, "Rules", scope_of(found)),
        "rule": _row(request, found),
        "form": form,
        "can_edit": principal_of(request).may(selectors.RULES),
        "command": command(request, f"/v1/approval-rules/{ref}"),
    }
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "approvals/rule.html", "form", context, status=status)


@require_POST
@needs(selectors.RULES)
def remove(request: HttpRequest, ref: str) -> HttpResponse:
    """Have the next less specific rule count."""
    found = selectors.get_rule(ref)
    services.remove_rule(rule_id=found.id, by=principal_of(request), at=timezone.now())
    messages.success(request, f"The rule for “{scope_of(found)}” was removed.")
    return see_other(link(request, "approvals:rules"))


def _form(request: HttpRequest) -> RuleForm:
    return RuleForm(
        request.POST if request.method == "POST" else None,
        roles=selectors.list_deciding_roles(),
        kinds=registry.list_subjects(),
        agents=selectors.list_agent_choices(most=CHOICES),
        projects=[(p.slug, p.name) for p in list_project_links(limit=CHOICES)],
    )


def _made(request: HttpRequest, form: RuleForm) -> bool:
    by, at = principal_of(request), timezone.now()
    try:
        services.create_rule(**form.cleaned_data, by=by, at=at)
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


def _changed(request: HttpRequest, found: ApprovalRule, form: RuleTermsForm) -> bool:
    by, at = principal_of(request), timezone.now()
    try:
        services.update_rule(rule_id=found.id, fields=form.cleaned_data, by=by, at=at)
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


def _crumbs(request: HttpRequest, label: str, below: str | None) -> list[tuple[str, str | None]]:
    above = ("Approvals", link(request, "approvals:approvals"))
    if below is None:
        return [above, (label, None)]
    return [above, (label, link(request, "approvals:rules")), (below, None)]


def _row(request: HttpRequest, rule: ApprovalRule) -> dict[str, Any]:
    return {
        "id": rule_ref(rule),
        "url": link(request, "approvals:rule", rule_ref(rule)),
        "scope": scope_of(rule),
        "kind": kind_of(rule),
        "quorum": rule.quorum,
        "role": rule.role.name if rule.role else "Anybody who may decide",
        "waits": words_of_wait(rule.timeout_minutes),
        "created_by": rule.created_by.label,
    }
