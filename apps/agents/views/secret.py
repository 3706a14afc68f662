"""The only page that ever holds an agent's signing secret."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.agents.models import Agent
from apps.agents.pages import agent_url
from apps.common.links import link


def endpoints_of(agent: Agent) -> list[str]:
    """Where an agent's signed calls go: to itself, or to the tools of its own."""
    config = agent.config
    return [said["url"] for said in (config, *config.get("tools", ())) if "url" in said]


def show_secret_once(
    request: HttpRequest, agent: Agent, secret: str, *, is_new: bool
) -> HttpResponse:
    """Show a secret that was just made; it is told nowhere again."""
    own = agent_url(request, agent)
    context = {
        "crumbs": [
            ("Agents", link(request, "agents:agents")),
            (agent.slug, own),
            ("Signing secret", None),
        ],
        "agent": agent,
        "agent_url": own,
        "secret": secret,
        "endpoints": endpoints_of(agent),
        "is_new": is_new,
    }
    response = render(request, "agents/secret.html", context)
    response["Cache-Control"] = "no-store"
    return response
