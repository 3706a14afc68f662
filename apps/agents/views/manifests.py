"""What an agent was: every version of its manifest, and what each one changed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.agents import selectors
from apps.agents.models import Agent, Manifest
from apps.agents.pages import agent_page, agent_url, ref_of_agent
from apps.common.htmx import render_page_or_partial
from apps.common.links import link, turn
from apps.common.pagination import paginate
from apps.orgs.pages import command, needs


@require_safe
@needs("agents.view")
def index(request: HttpRequest, ref: str) -> HttpResponse:
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
            {"manifest": row, "url": manifest_url(request, ref, row.version)} for row in found.items
        ],
        newer_url=turn(request, "before", found.previous),
        older_url=turn(request, "after", found.next),
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/manifests"),
    )
    return render_page_or_partial(request, "agents/manifests.html", "results", context)


@require_safe
@needs("agents.view")
def manifest(request: HttpRequest, ref: str, version: int) -> HttpResponse:
    """One version as it was frozen, beside the one before."""
    agent = selectors.get_agent(ref)
    found = selectors.get_manifest(agent.id, version)
    previous = selectors.list_manifests(agent.id).filter(version=found.version - 1).first()
    context = agent_page(
        request,
        agent,
        "agents:manifests",
        manifest=found,
        is_present=found.id == agent.manifest_id,
        **_neighbours(request, ref, agent, found, previous),
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/manifests/{found.version}"),
    )
    own = agent_url(request, agent, "agents:manifests")
    context["crumbs"] = [*context["crumbs"][:-1], ("Manifests", own), (f"v{found.version}", None)]
    return render(request, "agents/manifest.html", context)


def _neighbours(
    request: HttpRequest, ref: str, agent: Agent, found: Manifest, previous: Manifest | None
) -> dict[str, Any]:
    """The version before and the way to both; versions are counted without gaps."""
    is_last = agent.manifest is None or found.version >= agent.manifest.version
    return {
        "previous": previous,
        "manifest_name": str(found.version),
        "previous_name": str(previous.version) if previous else "",
        "previous_url": manifest_url(request, ref, previous.version) if previous else None,
        "next_url": None if is_last else manifest_url(request, ref, found.version + 1),
    }


def manifest_url(request: HttpRequest, ref: str, version: int) -> str:
    """The address of one version's page."""
    return link(request, "agents:manifest", ref, version)
