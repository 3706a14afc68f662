"""All agents, and registering one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.agents import selectors
from apps.agents.activity import Performance, activity
from apps.agents.forms import RUNTIMES, AgentForm
from apps.agents.models import Agent, AgentStatus
from apps.agents.pages import agent_url
from apps.agents.services import agents as services
from apps.agents.views.secret import endpoints_of, show_secret_once
from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.links import PROJECT, link, turn
from apps.common.pagination import NEWEST_FIRST, Keyset, paginate
from apps.orgs.pages import command, needs, post_command, principal_of, selected_project
from apps.orgs.selectors import get_default_project, get_project, list_project_links

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
    q, status = request.GET.get("q", "").strip(), request.GET.get("status", "")
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


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("agents.edit")
def new(request: HttpRequest) -> HttpResponse:
    """Register an agent of one kind; the kind is in the address, so that it needs no script."""
    wanted = request.GET.get("runtime", "")
    runtime = wanted if wanted in RUNTIMES else next(iter(RUNTIMES))
    form = AgentForm(
        request.POST if request.method == "POST" else None,
        runtime=runtime,
        projects=[(project.slug, project.name) for project in list_project_links()],
        initial={"project": request.GET.get(PROJECT) or get_default_project().slug},
    )
    if form.is_bound and form.is_valid() and (made := _create(request, form)):
        return _made(request, made)
    kinds = [
        {
            "label": label,
            "url": link(request, "agents:new", runtime=kind),
            "current": kind == runtime,
        }
        for kind, label in RUNTIMES.items()
    ]
    example = '{"name": "Echo", "runtime": "builtin", "config": {"skill": "echo"}}'
    context = {
        "crumbs": [("Agents", link(request, "agents:agents")), ("New", None)],
        "form": form,
        "runtime": runtime,
        "kinds": kinds,
        "post_url": link(request, "agents:new", runtime=runtime),
        "command": post_command(request, "/v1/agents", example),
    }
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/new.html", "form", context, status=status)


def _create(request: HttpRequest, form: AgentForm) -> Agent | None:
    data, by = form.cleaned_data, principal_of(request)
    try:
        return services.create_agent(
            name=data["name"],
            slug=data["slug"],
            purpose=data["purpose"],
            project=get_project(data["project"]),
            runtime=form.runtime,
            config=form.config(),
            timeout_seconds=data["timeout_seconds"],
            status=AgentStatus.DRAFT if data["draft"] else AgentStatus.ACTIVE,
            accountable_id=by.member_id,
            actor=by.actor,
            at=timezone.now(),
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


def _made(request: HttpRequest, agent: Agent) -> HttpResponse:
    secret = services.find_signing_secret(agent)
    if secret and endpoints_of(agent):
        return show_secret_once(request, agent, secret, is_new=True)
    messages.success(request, f"{agent.name} was registered.")
    return see_other(agent_url(request, agent))
