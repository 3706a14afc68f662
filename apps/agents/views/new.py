"""A new agent in three steps: its kind, what it is and how it works, a look at all of it.

Each step is an address, and a POST to one only shows it, with what was typed on the others: that
travels in the form itself, so nothing waits on the server for somebody who may not come back. No
field of an agent is a secret; an endpoint's is made when it is registered, the one step that
changes anything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.config_fields import runtime_fields
from apps.agents.directory import AGENT
from apps.agents.forms import RUNTIMES, AgentForm
from apps.agents.models import Agent, AgentStatus, Capability
from apps.agents.pages import agent_url
from apps.agents.planning import costs_of, shown_fields
from apps.agents.selectors import list_providers
from apps.agents.services import agents as services
from apps.agents.views.secret import endpoints_of, show_secret_once
from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.common.links import PROJECT, link
from apps.orgs.errors import IdempotencyInFlight
from apps.orgs.pages import needs, org_of, post_command, principal_of
from apps.orgs.selectors import get_default_project, get_project, list_project_links
from apps.orgs.services.idempotency import Answer, Claim, answer_once, fingerprint_of

KINDS: Final = {
    "builtin": ("puzzle", "A skill that comes with the workspace. It works at once."),
    "http": ("webhook", "A program of yours. It gets a signed POST for each call and answers."),
    "llm": ("brain", "A model of a provider of yours. It may use tools and other agents."),
}
STEPS: Final = (
    ("Kind", "agents:new"),
    ("Details", "agents:new_details"),
    ("Check", "agents:new_check"),
)
NONCE: Final = re.compile(r"[0-9a-f]{32}")
TRIES, PAUSE_S = 30, 0.1
"""How long the second press of a button waits for the first: as long as registering may take."""

FRESH: Final = timedelta(minutes=1)

Plan = tuple[Agent, list[Capability]]


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("agents.edit")
def kind(request: HttpRequest) -> HttpResponse:
    """Step 1: who does the work. Whoever comes back to it keeps what they typed."""
    chosen = request.GET.get("runtime", "")
    context = _page(request, 0) | {
        "kinds": [
            {
                "label": label,
                "icon": KINDS[name][0],
                "text": KINDS[name][1],
                "url": link(request, "agents:new_details", runtime=name),
                "current": name == chosen,
            }
            for name, label in RUNTIMES.items()
        ],
        "carried": _carried(request),
    }
    return render_page_or_partial(request, "agents/new.html", "step", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("agents.edit")
def details(request: HttpRequest) -> HttpResponse:
    """Step 2: what it is and how it works; nothing is checked before the next step."""
    form = _form(request)
    for name, field in form.fields.items():
        if name in request.POST:
            form.initial[name] = field.widget.value_from_datadict(request.POST, {}, name)
        elif request.POST and isinstance(field, forms.BooleanField):
            form.initial[name] = False
    return _details(request, form)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("agents.edit")
def check_step(request: HttpRequest) -> HttpResponse:
    """Step 3: all of it, as it would be registered. What is wrong is shown in step 2.

    Whoever opens or reloads the address has nothing to be checked, and gets step 2.
    """
    if request.method != "POST":
        return _details(request, _form(request))
    form = _form(request, bound=True)
    plan = _plan(request, form)
    if plan is None:
        return _details(request, form, status=422)
    agent, offered = plan
    context = _page(request, 2) | {
        "agent": agent,
        "tools": sorted(offered, key=lambda row: row.name),
        "runtime_label": RUNTIMES[form.runtime],
        "given": shown_fields(form),
        "costs": costs_of(agent),
        "signs": bool(endpoints_of(agent)),
        "is_draft": form.cleaned_data["draft"],
        "carried": [
            *((name, value) for name, value in _carried(request) if name != "slug"),
            ("slug", agent.slug),
            ("nonce", uuid4().hex),
        ],
        "back_url": link(request, "agents:new_details", runtime=form.runtime),
        "register_url": link(request, "agents:new_register", runtime=form.runtime),
    }
    return render_page_or_partial(request, "agents/new_check.html", "step", context)


@require_POST
@never_cache
@needs("agents.edit")
def register(request: HttpRequest) -> HttpResponse:
    """Register what was checked. Pressed twice, it is registered once."""
    form = _form(request, bound=True)
    made = _create_once(request, form) if form.is_valid() else None
    if made is None:
        return _details(request, form, status=422)
    if _is_fresh(made) and endpoints_of(made) and (secret := services.find_signing_secret(made)):
        return show_secret_once(request, made, secret, is_new=True)
    messages.success(request, f"{made.name} was registered.")
    return see_other(agent_url(request, made))


def _is_fresh(agent: Agent) -> bool:
    """Whether it was made just now, so that who pressed twice is shown its secret too, and who
    sends an old form again is not.
    """
    return agent.status != AgentStatus.RETIRED and timezone.now() - agent.created_at <= FRESH


def _form(request: HttpRequest, *, bound: bool = False) -> AgentForm:
    """The fields of step 2, of the kind that the address names."""
    wanted = request.GET.get("runtime", "")
    return AgentForm(
        request.POST if bound else None,
        runtime=wanted if wanted in RUNTIMES else next(iter(RUNTIMES)),
        projects=[(project.slug, project.name) for project in list_project_links()],
        initial={"project": request.GET.get(PROJECT) or get_default_project().slug},
    )


def _page(request: HttpRequest, at: int) -> dict[str, Any]:
    """What all steps share: where one is, and the same by the API."""
    example = '{"name": "Echo", "runtime": "builtin", "config": {"skill": "echo"}}'
    return {
        "crumbs": [("Agents", link(request, "agents:agents")), ("New", None)],
        "steps": [label for label, _ in STEPS],
        "step": at + 1,
        "command": post_command(request, "/v1/agents", example),
    }


def _details(request: HttpRequest, form: AgentForm, status: int = 200) -> HttpResponse:
    context = _page(request, 1) | {
        "form": form,
        "runtime_label": RUNTIMES[form.runtime],
        "needs_provider": form.runtime == "llm" and not list_providers().exists(),
        "models_url": link(request, "agents:models"),
        "carried": [(name, said) for name, said in _carried(request) if name not in form.fields],
        "kind_url": link(request, "agents:new", runtime=form.runtime),
        "check_url": link(request, "agents:new_check", runtime=form.runtime),
    }
    return render_page_or_partial(request, "agents/new_details.html", "step", context, status)


def _carried(request: HttpRequest) -> list[tuple[str, str]]:
    """What was typed in whichever step and for whichever kind, as it was typed."""
    known = {*AgentForm.base_fields, "project", "timeout_seconds", "draft"}
    known |= {name for runtime in RUNTIMES for name in runtime_fields(runtime)}
    return [
        (name, str(value))
        for name, values in request.POST.lists()
        for value in values
        if name in known
    ]


def _fields(request: HttpRequest, form: AgentForm) -> dict[str, Any]:
    """A valid form, as the services take it."""
    data = form.cleaned_data
    return {
        "name": data["name"],
        "slug": data["slug"],
        "purpose": data["purpose"],
        "project": get_project(data["project"]),
        "runtime": form.runtime,
        "config": form.config(),
        "timeout_seconds": data["timeout_seconds"],
        "status": AgentStatus.DRAFT if data["draft"] else AgentStatus.ACTIVE,
        "accountable_id": principal_of(request).member_id,
        "at": timezone.now(),
    }


def _plan(request: HttpRequest, form: AgentForm) -> Plan | None:
    """The agent as it would be; None if something is wrong, which the form then says."""
    if not form.is_valid():
        return None
    try:
        plan = services.plan_agent(**_fields(request, form))
        services.check_slug_free(plan[0].slug)
    except DomainError as error:
        add_refusal(form, error)
        return None
    return plan


def _create_once(request: HttpRequest, form: AgentForm) -> Agent | None:
    """The agent of this form, made now or by an earlier press of the same button."""
    by, nonce = principal_of(request), request.POST.get("nonce", "")
    claim = Claim(
        org_id=org_of(request).id,
        principal=by.actor.principal,
        key=f"page-{nonce if NONCE.fullmatch(nonce) else uuid4().hex}",
        fingerprint=fingerprint_of("POST", "agents:new_register", sorted(_carried(request))),
    )

    def make() -> Answer:
        made = services.create_agent(**_fields(request, form), actor=by.actor)
        return Answer(201, {}, public_id(AGENT, made.id).encode())

    try:
        answer = _answered(claim, make)
    except DomainError as error:
        add_refusal(form, error)
        return None
    return selectors.get_agent(answer.body.decode())


def _answered(claim: Claim, make: Callable[[], Answer]) -> Answer:
    """Do it, or wait for the press that is doing it."""
    for _ in range(TRIES):
        try:
            return answer_once(claim=claim, produce=make, at=timezone.now())[0]
        except IdempotencyInFlight:
            time.sleep(PAUSE_S)
    return answer_once(claim=claim, produce=make, at=timezone.now())[0]
