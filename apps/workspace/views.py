"""The first page of an organization."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.agents.selectors import count_agents
from apps.common import formats
from apps.common.links import link
from apps.orgs import selectors
from apps.orgs.pages import command, principal_of
from apps.runs.presenting import row_of
from apps.runs.selectors import count_recent_runs, list_run_lines, list_runs

DAY = timedelta(days=1)
LATEST = 5
RUNS_COUNTED = 1000
"""No page counts further than this: there may be millions."""


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """What there is in the organization, and what is still to be done."""
    counts, may = selectors.count_overview(), principal_of(request).permissions
    latest = list_run_lines(list_runs(), only_roots=True).order_by("-created_at", "-id")[:LATEST]
    runs = [row_of(request, run) for run in latest]
    agents = count_agents()
    context = {
        "crumbs": [("Overview", None)],
        "facts": [*_work_facts(agents), *_facts(counts)],
        "runs": runs,
        "runs_url": link(request, "runs:runs"),
        "steps": [
            step
            for step in _steps(counts, has_agent=agents > 0, has_run=bool(runs))
            if step.pop("needs") in may
        ],
        "command": command(request, "/v1/me"),
    }
    return render(request, "orgs/overview.html", context)


def _work_facts(agents: int) -> list[dict[str, Any]]:
    runs = count_recent_runs(since=timezone.now() - DAY, most=RUNS_COUNTED)
    shown = f"{formats.count(RUNS_COUNTED)}+" if runs > RUNS_COUNTED else formats.count(runs)
    return [
        {"label": "Agents", "value": agents, "url": "/agents/"},
        {"label": "Runs, 24 h", "value": shown, "url": "/runs/?level=all"},
    ]


def _facts(counts: selectors.Counts) -> list[dict[str, Any]]:
    return [
        {"label": "Projects", "value": counts.projects, "url": "/projects/"},
        {"label": "Members", "value": counts.members, "url": "/settings/members/"},
        {"label": "API keys", "value": counts.keys, "url": "/settings/keys/"},
    ]


def _steps(counts: selectors.Counts, *, has_agent: bool, has_run: bool) -> list[dict[str, Any]]:
    """The way from an empty organization to a program that calls its API."""
    return [
        {
            "title": "Register an agent",
            "note": "A built-in skill takes a minute, your own endpoint two.",
            "done": has_agent,
            "url": "/agents/" if has_agent else "/agents/new/",
            "action": "Agents" if has_agent else "New agent",
            "icon": "bot",
            "needs": "agents.edit",
        },
        {
            "title": "Run it",
            "note": "Try one of its tools and see each step on record.",
            "done": has_run,
            "url": "/runs/" if has_run else "/agents/",
            "action": "Runs" if has_run else "Agents",
            "icon": "play",
            "needs": "agents.invoke",
        },
        {
            "title": "Create a project",
            "note": "Each groups the agents, runs and budgets of one purpose.",
            "done": counts.projects > 1,
            "url": "/projects/",
            "action": "Projects",
            "icon": "folder",
            "needs": "projects.create",
        },
        {
            "title": "Invite a colleague",
            "note": "As owner, admin, member or viewer.",
            "done": counts.members > 1,
            "url": "/settings/members/#invite",
            "action": "Members",
            "icon": "user-plus",
            "needs": "invitations.manage",
        },
        {
            "title": "Make an API key",
            "note": "A program calls the API with it. It is shown once.",
            "done": counts.keys > 0,
            "url": "/settings/keys/#new-key",
            "action": "API keys",
            "icon": "key-round",
            "needs": "keys.own",
        },
    ]
