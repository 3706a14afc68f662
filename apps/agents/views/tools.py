"""What an agent offers, and changing it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.config_fields import pretty
from apps.agents.forms import MICROS, CapabilityForm
from apps.agents.models import Agent, Capability
from apps.agents.pages import agent_page, agent_url, ref_of_agent
from apps.agents.runtimes.base import runtime_of
from apps.agents.services import capabilities as services
from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.links import link
from apps.orgs.pages import check, command, needs, principal_of


@require_http_methods(["GET", "HEAD", "POST"])
@needs("agents.view")
def index(request: HttpRequest, ref: str) -> HttpResponse:
    """What the agent offers; a POST adds to it, where the runtime leaves that to its owner."""
    agent = selectors.get_agent(ref)
    form = CapabilityForm(
        request.POST if request.method == "POST" else None,
        free=True,
        new=True,
        initial={"destructive": True, "open_world": True},
    )
    if request.method == "POST":
        check(request, "agents.edit")
        if form.is_valid() and (made := _add(request, agent, form)):
            messages.success(request, f"{made.name} was added.")
            return see_other(agent_url(request, agent, "agents:tools"))
    context = agent_page(
        request,
        agent,
        "agents:tools",
        tools=list(agent.capabilities.all()),
        form=form,
        is_free=_is_free(agent),
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/capabilities"),
    )
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/tools.html", "tools", context, status=status)


def _add(request: HttpRequest, agent: Agent, form: CapabilityForm) -> Capability | None:
    try:
        return services.add_capability(
            agent_id=agent.id,
            fields=form.values(),
            actor=principal_of(request).actor,
            at=timezone.now(),
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


@require_http_methods(["GET", "HEAD", "POST"])
@needs("agents.view")
def tool(request: HttpRequest, ref: str, name: str) -> HttpResponse:
    """One thing that the agent offers; a POST changes it."""
    agent = selectors.get_agent(ref)
    found = selectors.get_capability(agent, name)
    form = CapabilityForm(
        request.POST if request.method == "POST" else None,
        free=_is_free(agent),
        initial=_initial(found),
    )
    if request.method == "POST":
        check(request, "agents.edit")
        if form.is_valid() and _change(request, agent, found, form):
            messages.success(request, f"{found.name} was changed.")
            return see_other(agent_url(request, agent, "agents:tools"))
    context = agent_page(
        request,
        agent,
        "agents:tools",
        tool=found,
        form=form,
        is_free=_is_free(agent),
        is_last=len(agent.capabilities.all()) == 1,
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}/capabilities/{found.name}"),
    )
    own = agent_url(request, agent, "agents:tools")
    context["crumbs"] = [*context["crumbs"][:-1], ("Tools", own), (found.name, None)]
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/tool.html", "form", context, status=status)


def _initial(found: Capability) -> dict[str, Any]:
    return {
        "description": found.description,
        "auth": found.auth,
        "price": (Decimal(found.price_micros) / MICROS).normalize() if found.price_micros else 0,
        **{name: getattr(found, name) for name in services.ANNOTATIONS},
        **{name: pretty(getattr(found, name)) for name in services.SCHEMAS},
    }


def _change(
    request: HttpRequest, agent: Agent, found: Capability, form: CapabilityForm
) -> Capability | None:
    try:
        return services.update_capability(
            agent_id=agent.id,
            name=found.name,
            fields=form.values(),
            actor=principal_of(request).actor,
            at=timezone.now(),
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


@require_POST
@needs("agents.edit")
def remove(request: HttpRequest, ref: str, name: str) -> HttpResponse:
    """Take something out of what the agent offers."""
    agent = selectors.get_agent(ref)
    services.remove_capability(
        agent_id=agent.id, name=name, actor=principal_of(request).actor, at=timezone.now()
    )
    messages.success(request, f"{name} was removed.")
    return see_other(link(request, "agents:tools", ref))


def _is_free(agent: Agent) -> bool:
    """Whether the owner says what the agent offers, and not its runtime."""
    return runtime_of(agent.runtime).tools(agent.config) is None
