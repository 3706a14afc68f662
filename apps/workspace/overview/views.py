"""The overview: what agents did lately, what that cost, and what waits for somebody."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.agents.pages import ref_of
from apps.agents.selectors import count_agents, list_agent_refs
from apps.common.htmx import render_page_or_partial
from apps.common.links import carried, link
from apps.orgs.pages import command, principal_of, selected_project
from apps.orgs.selectors import count_overview
from apps.runs import charting
from apps.runs.presenting import rows_of
from apps.runs.selectors import list_run_lines, list_runs
from apps.runs.statistics import (
    DAY,
    WINDOWS,
    Figures,
    Scope,
    Statistics,
    Window,
    get_statistics,
)
from apps.workspace.overview.needs import list_needs
from apps.workspace.overview.steps import Beginning, open_steps

LATEST: Final = 8
BUSIEST: Final = 5
RANGE: Final = "range"


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """How the org's agents are doing, or one project's; `?range=` says for how long back."""
    window = WINDOWS.get(request.GET.get(RANGE, ""), DAY)
    project_id, at = selected_project(request), timezone.now()
    context = {
        "crumbs": [("Overview", None)],
        "ranges": _ranges(request, window),
        "window": window,
        "live_url": _range_url(request, window),
        "can_create": principal_of(request).may("agents.edit"),
        "new_url": link(request, "agents:new"),
        "command": command(request, "/v1/runs"),
        **_page(request, window, project_id, at),
    }
    return render_page_or_partial(request, "workspace/overview.html", "live", context)


def _page(
    request: HttpRequest, window: Window, project_id: UUID | None, at: datetime
) -> dict[str, Any]:
    """What changes from minute to minute, each part of it for who may see what it tells of."""
    may = principal_of(request).may
    scope = Scope(project_id=project_id)
    statistics = get_statistics(window, until=at, scope=scope) if may("runs.view") else None
    work = _work(request, statistics, project_id) if statistics else {}
    agents = count_agents(project_id=project_id)
    begun = Beginning(count_overview(), has_agent=agents > 0, has_run=bool(work.get("runs")))
    return {
        "needs": list_needs(request, statistics, project_id=project_id, at=at),
        "sees_runs": statistics is not None,
        "agents_url": link(request, "agents:agents"),
        "has_agent": agents > 0,
        "beginning": open_steps(
            begun, may=principal_of(request).permissions, carry=partial(carried, request)
        ),
        **work,
    }


def _work(request: HttpRequest, statistics: Statistics, project_id: UUID | None) -> dict[str, Any]:
    """What runs tell, for who may see them, and of which agents, for who may see those as well."""
    sees_agents = principal_of(request).may("agents.view")
    rows = list_run_lines(list_runs(project_id=project_id), only_roots=True)
    return {
        "statistics": statistics,
        "figures": charting.key_figures(statistics),
        "latency": charting.latency_chart(statistics),
        "outcomes": charting.outcome_chart(statistics),
        "sees_agents": sees_agents,
        "agents": _busiest(request, statistics) if sees_agents else [],
        "busiest_by": "spend" if statistics.now.spend_micros else "runs",
        "runs": rows_of(request, list(rows.order_by("-created_at", "-id")[:LATEST])),
        "runs_url": link(request, "runs:runs"),
    }


def _busiest(request: HttpRequest, statistics: Statistics) -> list[dict[str, Any]]:
    """The agents that spent most, of equals those that ran most, each beside the first of them."""
    found = statistics.agents
    first = sorted(found.items(), key=_spend_then_runs, reverse=True)[:BUSIEST]
    names = {agent.id: agent for agent in list_agent_refs([agent_id for agent_id, _ in first])}
    size = _spend if any(figures.spend_micros for _, figures in first) else _runs
    most = max((size(figures) for _, figures in first), default=1)
    return [
        {
            "name": names[agent_id].name,
            "url": link(
                request,
                "agents:agent",
                ref_of(agent_id, names[agent_id].slug, names[agent_id].status),
            ),
            "figures": figures,
            "share": round(100 * size(figures) / most, 1),
        }
        for agent_id, figures in first
    ]


def _spend_then_runs(item: tuple[UUID, Figures]) -> tuple[int, int]:
    return _spend(item[1]), _runs(item[1])


def _spend(figures: Figures) -> int:
    return figures.spend_micros


def _runs(figures: Figures) -> int:
    return figures.runs


def _ranges(request: HttpRequest, here: Window) -> list[dict[str, Any]]:
    return [
        {"label": window.label, "url": _range_url(request, window), "current": window is here}
        for window in WINDOWS.values()
    ]


def _range_url(request: HttpRequest, window: Window) -> str:
    return link(request, "workspace:overview", **{RANGE: window.key})
