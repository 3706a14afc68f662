"""Which agents may call this one, and which ones it may call."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.forms import GrantForm
from apps.agents.models import Agent, Grant
from apps.agents.pages import agent_page, agent_url
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
    may_manage = principal_of(request).may("grants.manage")
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
        can_manage=may_manage,
        command=command(request, f"/v1/agents/{agent.slug}/grants"),
    )
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/grants.html", "grants", context, status=status)


def _give(request: HttpRequest, agent: Agent, form: GrantForm) -> Grant | None:
    by, at = principal_of(request), timezone.now()
    try:
        return services.create_grant(
            callee_id=agent.id,
            caller_id=selectors.get_agent(form.cleaned_data["caller"]).id,
            tools=form.cleaned_data["tools"],
            expires_at=form.expires_at(at=at),
            by_member_id=by.member_id,
            actor=by.actor,
            at=at,
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


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
    is_over = grant.expires_at is not None and grant.expires_at <= now
    return {
        "id": public_id(selectors.GRANT, grant.id),
        "other": other,
        "url": agent_url(request, other),
        "tools": [] if services.EVERY_TOOL in grant.tools else grant.tools,
        "status": "revoked" if not grant.active else "expired" if is_over else "active",
        "is_active": grant.active,
        "expires_at": grant.expires_at,
        "created_at": grant.created_at,
        "created_by": grant.created_by.label,
    }
