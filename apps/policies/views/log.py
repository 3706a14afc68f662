"""What the policies decided: the log with its filter, and one decision."""

from __future__ import annotations

import shlex
from datetime import UTC
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.common.errors import NotFound
from apps.common.htmx import render_page_or_partial
from apps.common.ids import parse_id, public_id
from apps.common.links import link, said, turn, with_query
from apps.common.pagination import paginate
from apps.orgs.pages import command, needs, principal_of
from apps.policies import decisions, places, reading, selectors
from apps.policies.forms import DaysForm
from apps.policies.models import Decision, DecisionResult
from apps.policies.pages import crumbs, decision_row
from apps.policies.questions import RUN

DAYS: Final = ("since", "until")
FIELDS: Final = ("result", "agent", "policy", "run", "shadowed", *DAYS)


@require_safe
@needs("decisions.view")
def index(request: HttpRequest) -> HttpResponse:
    """Every decision, the newest first; the address holds the filter."""
    asked = {name: said(request, name) for name in FIELDS}
    days = DaysForm({name: asked[name] for name in DAYS})
    rows, is_known = _rows(asked, days)
    found = paginate(
        rows,
        keyset=decisions.NEWEST,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    may = principal_of(request).may
    named = {name: value for name, value in asked.items() if value}
    context = {
        "crumbs": crumbs(request, ("Decisions", None)),
        "decisions": [decision_row(request, row) for row in found.items] if is_known else [],
        "filter": asked,
        "filtered": bool(named),
        "results": DecisionResult.choices,
        "agents": [(one.slug, one.name) for one in places.list_agents()],
        "policies": _policies() if may("policies.view") else [],
        "run_url": link(request, "runs:run", asked["run"]) if asked["run"] else "",
        "clear_url": link(request, "policies:decisions"),
        "newer_url": turn(request, "before", found.previous, keep=FIELDS),
        "older_url": turn(request, "after", found.next, keep=FIELDS),
        "command": command(request, _by_api({**named, **_moments(days)})),
    }
    return render_page_or_partial(request, "policies/decisions.html", "results", context)


@require_safe
@needs("decisions.view")
def decision(request: HttpRequest, ref: str) -> HttpResponse:
    """One decision: what each policy said, and for who may read data, of which call."""
    found = decisions.get_decision(ref)
    by = principal_of(request)
    may, document = by.may, reading.document_of(found, by)
    context = {
        "crumbs": crumbs(request, ("Decisions", link(request, "policies:decisions")), (ref, None)),
        "decision": decision_row(request, found),
        "opinions": [_said(request, one) for one in found.policies],
        "shadows": [_said(request, one) for one in reading.told(by, found.shadows or ())],
        "obligations": found.obligations,
        "document": document.content,
        "is_altered": document.is_altered,
        "can_read": reading.may_read(by),
        "digest": bytes(found.input_digest).hex(),
        "bundle": found.bundle,
        "ms": found.micros / 1000,
        "run": public_id(RUN, found.run_id),
        "run_url": link(request, "runs:run", public_id(RUN, found.run_id)),
        "can_see_run": may("runs.view"),
        "command": command(request, f"/v1/decisions/{ref}"),
    }
    return render_page_or_partial(request, "policies/decision.html", "decision", context)


def _rows(asked: dict[str, str], days: DaysForm) -> tuple[Any, bool]:
    """What the filter finds; nothing for one that names what isn't there.

    Of one policy nothing is older than the policy: no older decision is looked into for it.
    """
    result = asked["result"] if asked["result"] in DecisionResult.values else ""
    if not days.is_valid():
        return Decision.objects.none(), False
    span = days.found()
    try:
        policy = selectors.get_policy(asked["policy"]).policy if asked["policy"] else None
        if policy is not None:
            span["since"] = max(policy.created_at, span.get("since", policy.created_at))
        rows = decisions.list_decisions(
            result=result,
            agent_id=places.find_agent(asked["agent"]).id if asked["agent"] else None,
            policy_id=policy.id if policy else None,
            run_id=parse_id(RUN, asked["run"]) if asked["run"] else None,
            shadowed=asked["shadowed"] == "on",
            **span,
        )
    except NotFound:
        return Decision.objects.none(), False
    return rows, True


def _moments(days: DaysForm) -> dict[str, str]:
    """The days as the API takes them; it doesn't know whose days they are."""
    found = days.found() if days.is_valid() else {}
    return {
        name: f"{found[name].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if name in found else ""
        for name in DAYS
    }


def _by_api(named: dict[str, str]) -> str:
    """The address of the same list, as a shell takes it: several filters are one word."""
    return shlex.quote(with_query("/v1/decisions", named))


def _policies() -> list[tuple[str, str]]:
    """The policies that a filter offers, by name."""
    rows = selectors.list_names()
    return [(public_id(selectors.POLICY, policy_id), name) for policy_id, name in rows]


def _said(request: HttpRequest, said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "url": link(request, "policies:policy", said["policy"])}
