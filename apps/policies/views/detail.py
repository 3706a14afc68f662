"""One policy: where it stands, what it decided, its versions, and what can be done with it."""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.approvals.models import Approval
from apps.common.errors import NotFound, PreconditionFailed
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.links import link
from apps.orgs.pages import command, needs, principal_of
from apps.orgs.selectors import list_project_links
from apps.policies import decisions, places, selectors
from apps.policies.engine.types import PolicyEngineUnavailable
from apps.policies.errors import AttachmentExists, PolicyTestsFailed
from apps.policies.forms import AttachForm, place_choices
from apps.policies.pages import (
    attachment_rows,
    awaited_rows,
    decision_row,
    policy_page,
    ref_of,
    shadow_row,
    version_row,
)
from apps.policies.services import activating, attaching, policies

SHOWN: Final = 10
VERSIONS_SHOWN: Final = 50
_NUMBER: Final = re.compile(r"\d{1,9}")
_NUMBERS: Final = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


@require_safe
@needs("policies.view")
def policy(request: HttpRequest, ref: str) -> HttpResponse:
    """Where a policy stands."""
    standing = selectors.get_policy(ref)
    may, waiting = principal_of(request).may, standing.waiting
    two_person = selectors.get_head().two_person
    asked = selectors.list_requests_about(standing.id)
    can_decide = may("decisions.view")
    newest = _decisions(standing) if can_decide else []
    shadow = None
    if can_decide and waiting is not None and waiting.shadow_since is not None:
        shadow = decisions.count_shadowed(standing.id, since=waiting.shadow_since)
    versions = selectors.list_versions(standing.id)[:VERSIONS_SHOWN]
    context = policy_page(
        request,
        standing,
        "policies:policy",
        attachments=attachment_rows(standing, asked),
        form=_attach_form(request) if may("policies.activate") else None,
        versions=[version_row(request, row, ref_of(standing)) for row in versions],
        decisions=[decision_row(request, row) for row in newest],
        decisions_url=link(request, "policies:decisions", policy=ref_of(standing)),
        can_decide=can_decide,
        shadow=shadow,
        shadowed=[shadow_row(request, row, ref_of(standing)) for row in shadow.newest]
        if shadow
        else [],
        two_person=two_person,
        asks=two_person and standing.active is not None,
        awaited=awaited_rows(request, asked),
        waits_for={one.subject_type.removeprefix("policy.") for one in asked},
        effect=_effect(standing),
        command=command(request, f"/v1/policies/{ref_of(standing)}"),
    )
    return render_page_or_partial(request, "policies/detail.html", "overview", context)


@require_safe
@needs("policies.view")
def diff(request: HttpRequest, ref: str, numbers: str) -> HttpResponse:
    """What changed from one version to another."""
    standing = selectors.get_policy(ref)
    found = _NUMBERS.fullmatch(numbers)
    if found is None:
        raise NotFound("The policy has no such versions.")
    old, new = (selectors.get_version(standing.id, int(number)) for number in found.groups())
    context = policy_page(
        request,
        standing,
        "policies:diff",
        old=old,
        new=new,
        old_label=f"Version {old.version}",
        new_label=f"Version {new.version}",
        command=command(request, f"/v1/policies/{ref_of(standing)}/versions"),
    )
    return render_page_or_partial(request, "policies/diff.html", "diff", context)


@require_POST
@needs("policies.edit")
def check(request: HttpRequest, ref: str) -> HttpResponse:
    """Run the tests of the version that is on its way."""
    standing, by = selectors.get_policy(ref), principal_of(request)
    try:
        outcomes = activating.check_tests(policy_id=standing.id, actor=by.actor, at=timezone.now())
    except PolicyEngineUnavailable as error:
        messages.error(request, error.detail)
        return _back(request, standing)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        messages.error(request, f"{len(failed)} of {len(outcomes)} tests fail: {failed[0].name}.")
    else:
        passed = f"All {len(outcomes)} tests pass."
        messages.success(request, passed if outcomes else "It has no tests. It counts as tested.")
    return _back(request, standing)


@require_POST
@needs("policies.activate")
def activate(request: HttpRequest, ref: str) -> HttpResponse:
    """Have the version that is on its way decide, or ask a second person."""
    standing, by = selectors.get_policy(ref), principal_of(request)
    try:
        done = activating.activate_policy(
            policy_id=standing.id,
            read_version=_read_version(request),
            by_member_id=by.member_id,
            actor=by.actor,
            at=timezone.now(),
        )
    except (PolicyTestsFailed, PreconditionFailed, PolicyEngineUnavailable) as error:
        messages.error(request, f"Not activated. {error.detail}")
        return _back(request, standing)
    _tell(request, done.approval, f"Version {done.version.version} decides from now on.")
    return _back(request, standing)


@require_POST
@needs("policies.activate")
def shadow(request: HttpRequest, ref: str) -> HttpResponse:
    """Begin to evaluate the draft beside what decides."""
    return _set_shadow(request, ref, True, "Its draft is evaluated beside what decides.")


@require_POST
@needs("policies.activate")
def unshadow(request: HttpRequest, ref: str) -> HttpResponse:
    """Evaluate the draft no longer."""
    return _set_shadow(request, ref, False, "Its draft is evaluated no longer.")


@require_POST
@needs("policies.activate")
def retire(request: HttpRequest, ref: str) -> HttpResponse:
    """End a policy for good."""
    standing, by = selectors.get_policy(ref), principal_of(request)
    approval = policies.retire_policy(
        policy_id=standing.id, by_member_id=by.member_id, actor=by.actor, at=timezone.now()
    )
    _tell(request, approval, "The policy was retired.")
    return _back(request, standing)


@require_POST
@needs("policies.activate")
def attach(request: HttpRequest, ref: str) -> HttpResponse:
    """Have it count in another place."""
    standing, by = selectors.get_policy(ref), principal_of(request)
    form = _attach_form(request, request.POST)
    if not form.is_valid():
        messages.error(request, "Choose what to attach it to.")
        return _back(request, standing)
    place = places.find_place(*form.chosen())
    try:
        done = attaching.attach_policy(
            policy_id=standing.id,
            place=place,
            by_member_id=by.member_id,
            actor=by.actor,
            at=timezone.now(),
        )
    except AttachmentExists as error:
        messages.warning(request, error.detail)
    else:
        _tell(request, done.approval, f"It is attached to {place.label} now.")
    return _back(request, standing)


@require_POST
@needs("policies.activate")
def detach(request: HttpRequest, ref: str, attachment: str) -> HttpResponse:
    """Have it no longer count there."""
    standing, by = selectors.get_policy(ref), principal_of(request)
    row = selectors.get_attachment(standing.id, attachment)
    approval = attaching.detach_policy(
        policy_id=standing.id,
        attachment_id=row.id,
        by_member_id=by.member_id,
        actor=by.actor,
        at=timezone.now(),
    )
    _tell(request, approval, f"It no longer counts for {selectors.label_of(row)}.")
    return _back(request, standing)


def _read_version(request: HttpRequest) -> int | None:
    """The version that the page showed; one that can't be read is none that there is."""
    sent = request.POST.get("version")
    if sent is None:
        return None
    return int(sent) if _NUMBER.fullmatch(sent) else 0


def _set_shadow(request: HttpRequest, ref: str, on: bool, said: str) -> HttpResponse:
    standing, by = selectors.get_policy(ref), principal_of(request)
    activating.shadow_policy(policy_id=standing.id, on=on, actor=by.actor, at=timezone.now())
    messages.success(request, said)
    return _back(request, standing)


def _tell(request: HttpRequest, approval: Approval | None, done: str) -> None:
    """Say that it has happened, or that somebody else is asked; the page leads to what waits."""
    if approval:
        messages.warning(request, "It waits for a second person to approve it.")
    else:
        messages.success(request, done)


def _back(request: HttpRequest, standing: selectors.Standing) -> HttpResponse:
    return see_other(link(request, "policies:policy", ref_of(standing)))


def _attach_form(request: HttpRequest, data: Any = None) -> AttachForm:
    projects = [(found.slug, found.name) for found in list_project_links()]
    return AttachForm(data, places=place_choices(projects, places.list_agents()))


def _decisions(standing: selectors.Standing) -> list[Any]:
    """The newest decisions that it counted for, since it counts."""
    first = standing.policy.created_at
    rows = decisions.list_decisions(policy_id=standing.id, since=first).order_by("-at", "-id")
    return list(rows[:SHOWN])


def _effect(standing: selectors.Standing) -> str:
    """What activating the version that is on its way would do."""
    waiting, active = standing.waiting, standing.active
    if waiting is None:
        return ""
    labels = [selectors.label_of(row) for row in standing.attachments]
    where = f"every call of {', '.join(labels)}" if labels else "nothing yet: attach it first"
    takes = f" It takes the place of version {active.version}." if active else ""
    return f"From the next call on, version {waiting.version} decides about {where}.{takes}"
