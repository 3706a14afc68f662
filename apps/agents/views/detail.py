"""One agent: what it is, and what it was."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.agents import selectors
from apps.agents.activity import activity
from apps.agents.forms import RUNTIMES
from apps.agents.models import AgentStatus, Manifest
from apps.agents.pages import agent_page, agent_url, ref_of_agent
from apps.common.htmx import render_page_or_partial
from apps.common.json import Object
from apps.common.links import link, turn
from apps.common.pagination import paginate
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
        manifest_url=_manifest_url(request, ref, agent.manifest) if agent.manifest else None,
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


@require_safe
@needs("agents.view")
def manifests(request: HttpRequest, ref: str) -> HttpResponse:
    """Every version that the agent has had."""
    agent = selectors.get_agent(ref)
    rows = selectors.list_manifests(agent.id).defer("document")
    found = paginate(
        rows,
        keyset=selectors.BY_VERSION,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    context = agent_page(
        request,
        agent,
        "agents:manifests",
        manifests=[
            {"manifest": row, "url": _manifest_url(request, ref, row)} for row in found.items
        ],
        newer_url=turn(request, "before", found.previous),
        older_url=turn(request, "after", found.next),
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/manifests"),
    )
    return render_page_or_partial(request, "agents/manifests.html", "results", context)


@require_safe
@needs("agents.view")
def manifest(request: HttpRequest, ref: str, version: int) -> HttpResponse:
    """One version, as it was frozen."""
    agent = selectors.get_agent(ref)
    found = selectors.get_manifest(agent.id, version)
    context = agent_page(
        request,
        agent,
        "agents:manifests",
        manifest=found,
        is_present=found.id == agent.manifest_id,
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/manifests/{found.version}"),
    )
    own = agent_url(request, agent, "agents:manifests")
    context["crumbs"] = [*context["crumbs"][:-1], ("Manifests", own), (f"v{found.version}", None)]
    return render(request, "agents/manifest.html", context)


def _manifest_url(request: HttpRequest, ref: str, row: Manifest) -> str:
    return link(request, "agents:manifest", ref, row.version)
