"""What every page of one agent shares, in whichever app: its head, its tabs, its address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest

from apps.agents.activity import activity
from apps.agents.directory import AGENT
from apps.agents.forms import NoteForm
from apps.agents.models import Agent, AgentStatus
from apps.common.ids import public_id
from apps.common.links import link
from apps.orgs.pages import principal_of

# A slug that is a page of its own: such an agent goes by its id.
NOT_A_REF: Final = frozenset({"new"})


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of an agent: where it stands among the others, and who may open it."""

    order: int
    label: str
    url_name: str
    needs: str


_tabs: list[Tab] = [
    Tab(10, "Overview", "agents:agent", "agents.view"),
    Tab(30, "Tools", "agents:tools", "agents.view"),
    Tab(50, "Grants", "agents:grants", "grants.view"),
    Tab(55, "Keys", "agents:keys", "keys.own"),
    Tab(60, "Manifests", "agents:manifests", "agents.view"),
    Tab(70, "Settings", "agents:settings", "agents.view"),
]


def add_tab(tab: Tab) -> None:
    """Have a higher app's page stand among an agent's own."""
    if tab not in _tabs:
        _tabs.append(tab)


def ref_of(agent_id: UUID, slug: str, status: str) -> str:
    """What names the agent in addresses: its slug, unless that isn't or may not be its own."""
    is_free = status == AgentStatus.RETIRED or slug in NOT_A_REF
    return public_id(AGENT, agent_id) if is_free else slug


def ref_of_agent(agent: Agent) -> str:
    """What names this agent in addresses of pages and of the API."""
    return ref_of(agent.id, agent.slug, agent.status)


def agent_url(request: HttpRequest, agent: Agent, name: str = "agents:agent") -> str:
    """The address of a page of this agent."""
    return link(request, name, ref_of_agent(agent))


def agent_page(request: HttpRequest, agent: Agent, url_name: str, **context: Any) -> dict[str, Any]:
    """The context of one of an agent's pages: head, tabs, crumbs, and what the page adds."""
    may = principal_of(request).may
    here = next(tab for tab in _tabs if tab.url_name == url_name)
    crumbs: list[tuple[str, str | None]] = [("Agents", link(request, "agents:agents"))]
    own, open_runs = agent_url(request, agent), activity().count_open(agent.id)
    crumbs += [(agent.slug, own), (here.label, None)] if here.order > 10 else [(agent.slug, None)]
    return {
        "agent": agent,
        "agent_id": public_id(AGENT, agent.id),
        "agent_ref": ref_of_agent(agent),
        "agent_tabs": [
            {
                "label": tab.label,
                "url": agent_url(request, agent, tab.url_name),
                "current": tab == here,
            }
            for tab in sorted(_tabs, key=lambda tab: tab.order)
            if may(tab.needs)
        ],
        "crumbs": crumbs,
        "open_runs": open_runs,
        "kill_text": kill_text(open_runs),
        "kill_form": _kill_form(),
        "is_retired": agent.status == AgentStatus.RETIRED,
        "can_edit": may("agents.edit"),
        "can_invoke": may("agents.invoke"),
        "can_kill": may("agents.kill"),
        **context,
    }


def _kill_form() -> NoteForm:
    """Why it is stopped; the question that asks for it begins there."""
    form = NoteForm(auto_id="kill_%s")
    form.fields["note"].widget.attrs["autofocus"] = True
    return form


def kill_text(open_runs: int) -> str:
    """What the kill switch does now, in numbers."""
    runs = "1 open run ends" if open_runs == 1 else f"{open_runs} open runs end"
    ending = f"{runs} now, wherever they are, and what they were doing is discarded."
    return " ".join(
        [
            ending if open_runs else "No run of it is open.",
            "It is then suspended, and begins nothing new until somebody activates it again.",
        ]
    )
