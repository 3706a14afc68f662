"""Which agents may call this one, and which ones it may call."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.forms import KEEP, GrantChangeForm, GrantForm
from apps.agents.models import Agent, Grant
from apps.agents.pages import agent_page, agent_url, ref_of_agent
from apps.agents.services import grants as services
from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.orgs.pages import check, command, needs, principal_of

SHOWN: Final = 200


@require_http_methods(["GET", "HEAD", "POST"])
@needs("grants.view")
def index(request: HttpRequest, ref: str) -> HttpResponse:
    """Both sides of an agent's grants; a POST gives one on it."""
    agent = selectors.get_agent(ref)
    form = GrantForm(
        request.POST if request.method == "POST" else None,
        callers=[c for c in selectors.list_agent_names() if c[0] != agent.slug],
        tools=[tool.name for tool in agent.capabilities.all()],
        initial={"tools": [services.EVERY_TOOL]},
    )
    if request.method == "POST":
        check(request, "grants.manage")
        if form.is_valid() and (made := _give(request, agent, form)):
            messages.success(request, f"{made.caller.name} may call {agent.name} now.")
            return see_other(agent_url(request, agent, "agents:grants"))
    now = timezone.now()
    context = agent_page(
        request,
        agent,
        "agents:grants",
        grants=[_row(request, g, g.caller, now) for g in selectors.list_grants(agent.id)[:SHOWN]],
        held=[
            _row(request, g, g.callee, now) for g in selectors.list_held_grants(agent.id)[:SHOWN]
        ],
        form=form,
        has_others=bool(form.fields["caller"].choices),  # type: ignore[attr-defined]
        can_manage=principal_of(request).may("grants.manage"),
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/grants"),
    )
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/grants.html", "grants", context, status=status)


def _give(request: HttpRequest, agent: Agent, form: GrantForm) -> Grant | None:
    by, at = principal_of(request), timezone.now()
    try:
        return services.create_grant(
            callee_id=agent.id,
            caller_id=selectors.get_agent(form.cleaned_data["caller"]).id,
            **form.terms(at=at),
            by_member_id=by.member_id,
            actor=by.actor,
            at=at,
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


@require_http_methods(["GET", "HEAD", "POST"])
@needs("grants.view")
def grant(request: HttpRequest, ref: str, grant: str) -> HttpResponse:
    """One grant; a POST changes its tools or its end."""
    agent = selectors.get_agent(ref)
    found = selectors.get_grant(agent.id, grant)
    form = GrantChangeForm(
        request.POST if request.method == "POST" else None,
        tools=[tool.name for tool in agent.capabilities.all()],
        initial={"tools": found.tools, "lifetime": KEEP},
    )
    if request.method == "POST":
        check(request, "grants.manage")
        if form.is_valid() and _change(request, found, form):
            messages.success(request, f"The grant of {found.caller.name} was changed.")
            return see_other(agent_url(request, agent, "agents:grants"))
    own = agent_url(request, agent, "agents:grants")
    path = f"/v1/agents/{ref_of_agent(agent)}/grants/{grant}"
    context = agent_page(
        request,
        agent,
        "agents:grants",
        grant=_row(request, found, found.caller, timezone.now()),
        form=form,
        can_manage=principal_of(request).may("grants.manage"),
        command=command(request, path),
    )
    context["crumbs"] = [*context["crumbs"][:-1], ("Grants", own), (found.caller.slug, None)]
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/grant.html", "form", context, status=status)


def _change(request: HttpRequest, found: Grant, form: GrantChangeForm) -> bool:
    at = timezone.now()
    try:
        services.update_grant(
            grant_id=found.id,
            fields=form.terms(at=at),
            actor=principal_of(request).actor,
            at=at,
        )
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


@require_POST
@needs("grants.manage")
def revoke(request: HttpRequest, ref: str, grant: str) -> HttpResponse:
    """End a grant at once."""
    agent = selectors.get_agent(ref)
    found = selectors.get_grant(agent.id, grant)
    services.revoke_grant(grant_id=found.id, actor=principal_of(request).actor, at=timezone.now())
    messages.success(request, f"{found.caller.name} may no longer call {agent.name}.")
    return see_other(agent_url(request, agent, "agents:grants"))


def _row(request: HttpRequest, grant: Grant, other: Agent, now: datetime) -> dict[str, Any]:
    is_over = grant.expires_at is not None and grant.expires_at <= (grant.revoked_at or now)
    return {
        "id": public_id(selectors.GRANT, grant.id),
        "other": other,
        "url": agent_url(request, other),
        "tools": [] if services.EVERY_TOOL in grant.tools else grant.tools,
        "status": "expired" if is_over else "active" if grant.active else "revoked",
        "is_active": grant.active,
        "expires_at": grant.expires_at,
        "created_at": grant.created_at,
        "created_by": grant.created_by.label,
    }
