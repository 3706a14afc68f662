"""An agent's own keys, with which it calls others from wherever it runs."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.pages import agent_page, agent_url
from apps.agents.services.keys import NEEDED
from apps.common.errors import NotFound
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import parse_id
from apps.orgs.key_pages import SHOWN, KeyForm, key_row, make_key, show_key_once
from apps.orgs.pages import check, command, needs, principal_of
from apps.orgs.selectors import KEY, get_key, list_keys
from apps.orgs.services import keys as services
from apps.tenants import proofs


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("keys.own")
def index(request: HttpRequest, ref: str) -> HttpResponse:
    """The keys that act as this agent; a POST makes one and shows its token, once."""
    agent, by, now = selectors.get_agent(ref), principal_of(request), timezone.now()
    form = KeyForm(request.POST if request.method == "POST" else None, by=by, as_agent=True)
    if request.method == "POST":
        for code in NEEDED:
            check(request, code)
        if form.is_valid() and (made := make_key(request, form, agent=ref, at=now)):
            context = agent_page(request, agent, "agents:keys")
            context["all_url"] = agent_url(request, agent, "agents:keys")
            return show_key_once(request, made, "agents/key_created.html", context)
    rows = list_keys(by=by, agent_id=agent.id)[:SHOWN]
    context = agent_page(
        request,
        agent,
        "agents:keys",
        keys=[key_row(key, by, now) for key in rows],
        form=form,
        can_create=by.permissions.issuperset(NEEDED),
        command=command(request, f"/v1/agents/{agent.slug}/keys"),
    )
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "agents/keys.html", "keys", context, status=status)


@require_POST
@needs("keys.own")
def revoke(request: HttpRequest, ref: str, key: str) -> HttpResponse:
    """End one of the agent's keys at once."""
    agent, by = selectors.get_agent(ref), principal_of(request)
    found = get_key(parse_id(KEY, key), by=by)
    if found.agent_id != agent.id:
        raise NotFound("The agent has no such key.")
    now = timezone.now()
    proofs.require(request, f"Revoke {found.name}", at=now)
    services.revoke_key(key_id=found.id, by=by, at=now)
    messages.success(request, f"{found.name} was revoked.")
    return see_other(agent_url(request, agent, "agents:keys"))
