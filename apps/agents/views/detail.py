"""One agent: what it is and does."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.agents import selectors
from apps.agents.activity import activity
from apps.agents.forms import RUNTIMES
from apps.agents.models import AgentStatus
from apps.agents.pages import agent_page, ref_of_agent
from apps.agents.views.manifests import manifest_url
from apps.common.json import Object
from apps.common.links import link
from apps.orgs.pages import command, needs, principal_of

RECENT: Final = 5


@require_safe
@needs("agents.view")
def overview(request: HttpRequest, ref: str) -> HttpResponse:
    """What the agent is and offers, and what it did last."""
    agent = selectors.get_agent(ref)
    may_see_runs = principal_of(request).may("runs.view")
    is_callable = agent.status == AgentStatus.ACTIVE
    context = agent_page(
        request,
        agent,
        "agents:agent",
        runtime=RUNTIMES.get(agent.runtime, agent.runtime),
        config=_config(agent.config),
        manifest=agent.manifest,
        project_url=link(request, "orgs:project", agent.project.slug),
        manifest_url=manifest_url(request, ref, agent.manifest.version) if agent.manifest else None,
        tools=list(agent.capabilities.all()),
        runs=activity().recent(request, agent.id, limit=RECENT) if may_see_runs else [],
        week=activity().week(agent.id) if may_see_runs else None,
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}"),
        call=activity().call(request, agent) if is_callable else None,
    )
    return render(request, "agents/overview.html", context)


def _config(config: Object) -> list[tuple[str, list[str]]]:
    """What is set, each with its value or, of headers, limits and tools, its lines."""
    return [(name.capitalize(), _lines(value)) for name, value in config.items()]


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}: {said}" for key, said in value.items()]
    if isinstance(value, list):
        return [f"{tool['name']}: {tool['url']}" for tool in value]
    return [str(value)]
