"""Changing an agent, and moving it through its states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.forms import AgentEditForm, NoteForm, RetireForm
from apps.agents.models import Agent
from apps.agents.pages import agent_page, agent_url, ref_of_agent
from apps.agents.runtimes.base import runtime_of
from apps.agents.services import agents as services
from apps.agents.services.changing import version_of
from apps.agents.views.secret import show_secret_once
from apps.common.errors import DomainError, PermissionDenied
from apps.common.etag import Precondition
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import parse_id, public_id
from apps.common.links import link
from apps.orgs import ruled
from apps.orgs.pages import check, command, needs, principal_of
from apps.orgs.selectors import MEMBER, get_project, list_members, list_project_links


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("agents.view")
def index(request: HttpRequest, ref: str) -> HttpResponse:
    """An agent's settings; a POST changes them, unless somebody else did meanwhile."""
    agent = selectors.get_agent(ref)
    if request.method != "POST":
        return _render(request, agent)
    check(request, "agents.edit")
    form = _form(agent, request.POST)
    if form.is_valid() and _update(request, agent, form):
        messages.success(request, "Your changes were saved.")
        return see_other(agent_url(request, agent, "agents:settings"))
    return _render(request, agent, form=form)


def _form(agent: Agent, data: Any = None) -> AgentEditForm:
    projects = [(project.slug, project.name) for project in list_project_links()]
    members = [(public_id(MEMBER, m.id), m.label) for m in list_members().order_by("label", "id")]
    return AgentEditForm(
        data,
        runtime=agent.runtime,
        config=agent.config,
        projects=_with(projects, (agent.project.slug, agent.project.name)),
        members=_with(members, (public_id(MEMBER, agent.accountable_id), agent.accountable.label)),
        initial={
            "version": version_of(agent),
            "name": agent.name,
            "purpose": agent.purpose,
            "project": agent.project.slug,
            "accountable": public_id(MEMBER, agent.accountable_id),
            "timeout_seconds": agent.timeout_seconds,
            **agent.config,
        },
    )


def _with(choices: list[tuple[str, str]], present: tuple[str, str]) -> list[tuple[str, str]]:
    """The choices, with what is chosen now even if it is offered no more."""
    return choices if present in choices else [present, *choices]


def _update(request: HttpRequest, agent: Agent, form: AgentEditForm) -> bool:
    data = form.cleaned_data
    fields: dict[str, Any] = {
        "name": data["name"],
        "purpose": data["purpose"],
        "timeout_seconds": data["timeout_seconds"],
        "project": get_project(data["project"]),
    }
    accountable_id = parse_id(MEMBER, data["accountable"])
    if accountable_id != agent.accountable_id:
        fields["accountable_id"] = accountable_id
    if (config := form.config()) and config != agent.config:
        fields["config"] = config
    try:
        services.update_agent(
            agent_id=agent.id,
            fields=fields,
            expected=Precondition.read(data["version"]),
            may_move=ruled.ask(principal_of(request)),
            actor=principal_of(request).actor,
            at=timezone.now(),
        )
    except PermissionDenied:
        raise
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


def _render(request: HttpRequest, agent: Agent, **bound: forms.Form) -> HttpResponse:
    """The page, with the form that was refused, if one was."""
    form: Any = bound.get("form") or _form(agent)
    if not ruled.may(principal_of(request)):
        form.fix_project((agent.project.slug, agent.project.name))
    context = agent_page(
        request,
        agent,
        "agents:settings",
        form=form,
        note_form=bound.get("note_form") or NoteForm(auto_id="suspend_%s"),
        retire_form=bound.get("retire_form") or _retire_form(agent),
        signs=runtime_of(agent.runtime).signs,
        can_delete=principal_of(request).may("agents.delete"),
        command=command(request, f"/v1/agents/{ref_of_agent(agent)}"),
    )
    status = 422 if bound else 200
    return render_page_or_partial(request, "agents/settings.html", "forms", context, status=status)


def _retire_form(agent: Agent, data: Any = None) -> RetireForm:
    return RetireForm(data, agent_slug=agent.slug, auto_id="retire_%s")


@require_POST
@needs("agents.edit")
def activate(request: HttpRequest, ref: str) -> HttpResponse:
    """Let a draft or suspended agent work."""
    return _moved(request, ref, services.activate_agent, "is active now")


@require_POST
@needs("agents.edit")
def suspend(request: HttpRequest, ref: str) -> HttpResponse:
    """Let it begin nothing new; what it has begun goes on to its end."""
    form = NoteForm(request.POST, auto_id="suspend_%s")
    if not form.is_valid():
        return _render(request, selectors.get_agent(ref), note_form=form)
    return _moved(
        request, ref, services.suspend_agent, "is suspended", note=form.cleaned_data["note"]
    )


def _moved(
    request: HttpRequest, ref: str, move: Callable[..., Agent], done: str, **more: str
) -> HttpResponse:
    agent = selectors.get_agent(ref)
    move(agent_id=agent.id, actor=principal_of(request).actor, at=timezone.now(), **more)
    messages.success(request, f"{agent.name} {done}.")
    return see_other(link(request, "agents:agent", ref))


@require_POST
@needs("agents.kill")
def kill(request: HttpRequest, ref: str) -> HttpResponse:
    """The kill switch: suspend it and end all that it has under way, at once.

    A note that can't be kept doesn't keep it from being stopped.
    """
    form = NoteForm(request.POST)
    form.full_clean()
    agent, stopped = services.kill_agent(
        agent_id=selectors.get_agent(ref).id,
        note=form.cleaned_data.get("note", ""),
        actor=principal_of(request).actor,
        at=timezone.now(),
    )
    runs = "1 run was ended" if stopped == 1 else f"{stopped} runs were ended"
    messages.warning(request, f"{agent.name} was stopped. {runs}.")
    return see_other(link(request, "agents:agent", ref))


@require_POST
@needs("agents.delete")
def retire(request: HttpRequest, ref: str) -> HttpResponse:
    """End an agent for good; its runs and manifests stay."""
    agent = selectors.get_agent(ref)
    form = _retire_form(agent, request.POST)
    if not form.is_valid():
        return _render(request, agent, retire_form=form)
    services.retire_agent(agent_id=agent.id, actor=principal_of(request).actor, at=timezone.now())
    messages.success(request, f"{agent.name} was retired.")
    return see_other(link(request, "agents:agents"))


@require_POST
@needs("agents.edit")
def secret(request: HttpRequest, ref: str) -> HttpResponse:
    """Sign calls with a new secret; the old one counts no more."""
    agent = selectors.get_agent(ref)
    made = services.rotate_signing_secret(
        agent_id=agent.id, actor=principal_of(request).actor, at=timezone.now()
    )
    return show_secret_once(request, agent, made, is_new=False)
