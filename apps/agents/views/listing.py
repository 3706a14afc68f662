"""All agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.agents import selectors
from apps.agents.activity import Performance, activity
from apps.agents.forms import RUNTIMES
from apps.agents.models import Agent, AgentStatus
from apps.agents.pages import agent_url
from apps.common.htmx import render_page_or_partial
from apps.common.links import PROJECT, link, said, turn
from apps.common.pagination import NEWEST_FIRST, Keyset, paginate
from apps.orgs.pages import command, needs, principal_of, selected_project

FIELDS: Final = ("q", "status", "sort")
SORTS: Final = {
    "name": Keyset(("name", "id"), descending=False),
    "-name": Keyset(("name", "id")),
    "created": Keyset(descending=False),
}
STATUSES: Final = [(status.value, status.label) for status in AgentStatus]


@require_safe
@needs("agents.view")
def index(request: HttpRequest) -> HttpResponse:
    """Every agent that isn't retired; the address holds the filter."""
    q, status = said(request, "q"), said(request, "status")
    status = status if status in AgentStatus.values else ""
    rows = selectors.list_agents(q=q, status=status, project_id=selected_project(request))
    sort = request.GET.get("sort", "")
    found = paginate(
        rows,
        keyset=SORTS.get(sort, NEWEST_FIRST),
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    may = principal_of(request).may
    shown = [agent.id for agent in found.items] if may("runs.view") else []
    last, week = activity().last(request, shown), activity().performance(shown)
    context = {
        "crumbs": [("Agents", None)],
        "agents": [_row(request, agent, last, week) for agent in found.items],
        "q": q,
        "status": status,
        "statuses": STATUSES,
        "sort": sort if sort in SORTS else "",
        "is_sorted": sort in SORTS,
        "filtered": bool(q or status),
        "project": request.GET.get(PROJECT, ""),
        "clear_url": link(request, "agents:agents"),
        "new_url": link(request, "agents:new"),
        "newer_url": turn(request, "before", found.previous, keep=FIELDS),
        "older_url": turn(request, "after", found.next, keep=FIELDS),
        "can_create": may("agents.edit"),
        "shows_runs": may("runs.view"),
        "is_cut": any(did.is_cut for did in week.values()),
        "command": command(request, "/v1/agents"),
    }
    return render_page_or_partial(request, "agents/list.html", "results", context)


def _row(
    request: HttpRequest,
    agent: Agent,
    last: Mapping[UUID, Any],
    week: Mapping[UUID, Performance],
) -> dict[str, Any]:
    return {
        "name": agent.name,
        "slug": agent.slug,
        "url": agent_url(request, agent),
        "status": agent.status,
        "runtime": RUNTIMES.get(agent.runtime, agent.runtime),
        "project": agent.project.name,
        "tools": len(agent.capabilities.all()),
        "created_at": agent.created_at,
        "last": last.get(agent.id),
        "week": week.get(agent.id, Performance()),
    }
