"""What waits for somebody: only what the person who looks can do something about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.http import HttpRequest

from apps.agents.models import Agent, AgentStatus
from apps.agents.pages import agent_url
from apps.agents.selectors import list_agents_in_need
from apps.approvals.selectors import COUNTED, count_waiting
from apps.common import formats
from apps.common.links import link
from apps.orgs.pages import principal_of
from apps.orgs.selectors import find_waiting_invitations, list_keys_that_end
from apps.runs.states import RunStatus
from apps.runs.statistics import Statistics

SOON: Final = timedelta(days=14)
"""How long before its end a key is told of."""
NAMED: Final = 3
"""Agents and keys that are named one by one."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that waits, and where it is seen to."""

    icon: str
    tone: str
    title: str
    note: str
    url: str
    action: str


def list_needs(
    request: HttpRequest, statistics: Statistics | None, *, project_id: UUID | None, at: datetime
) -> list[Need]:
    """What waits for this person, the most pressing first; at most three queries.

    `statistics` is None for who may not see runs.
    """
    may = principal_of(request).may
    found: list[Need] = [*_approvals(request)]
    if statistics and may("agents.invoke"):
        found += _runs(request, statistics)
    if may("agents.edit") and may("agents.view"):
        found += _agents(request, project_id)
    if project_id is None:
        found += _keys(request, at)
        if may("invitations.manage"):
            found += _invitations(at)
    return found


def _approvals(request: HttpRequest) -> Iterator[Need]:
    """What this person could decide now; the number was read along with them."""
    number = count_waiting(principal_of(request))
    if number:
        many = formats.at_most(number, COUNTED)
        title = "1 request waits" if number == 1 else f"{many} requests wait"
        note = "Without an answer in time they are refused."
        url = link(request, "approvals:approvals")
        yield Need("stamp", "warn", f"{title} for your approval", note, url, "Decide")


def _runs(request: HttpRequest, statistics: Statistics) -> Iterator[Need]:
    """Runs of the window that went wrong; the list that each leads to shows them."""
    now, since = statistics.now, statistics.window.since(statistics.until)
    for number, status, icon, one, more in (
        (now.failed, RunStatus.FAILED, "circle-x", "failed", "failed"),
        (now.timed_out, RunStatus.TIMED_OUT, "timer-off", "took too long", "took too long"),
        (now.denied, RunStatus.DENIED, "ban", "was denied", "were denied"),
    ):
        if number:
            query = {"status": status.value, "level": "all", "from": f"{since:%Y-%m-%d}"}
            yield Need(
                icon,
                "bad",
                f"1 run {one}" if number == 1 else f"{formats.count(number)} runs {more}",
                f"In the {statistics.window.words}.",
                link(request, "runs:runs", **query),
                "Look",
            )


def _agents(request: HttpRequest, project_id: UUID | None) -> Iterator[Need]:
    agents = list(list_agents_in_need(project_id=project_id)[: NAMED + 1])
    for agent in agents[:NAMED]:
        yield _agent(request, agent)
    if len(agents) > NAMED:
        url = link(request, "agents:agents", status=AgentStatus.SUSPENDED)
        yield Need("bot", "warn", "More agents are stopped or in nobody’s charge", "", url, "Look")


def _agent(request: HttpRequest, agent: Agent) -> Need:
    if agent.status == AgentStatus.SUSPENDED:
        note = agent.status_note or "Every call is refused until it is activated again."
        url = agent_url(request, agent)
        return Need("circle-pause", "warn", f"{agent.name} is suspended", note, url, "Open")
    return Need(
        "user-x",
        "warn",
        f"Nobody answers for {agent.name}",
        f"{agent.accountable.label} has left.",
        agent_url(request, agent, "agents:settings"),
        "Settings",
    )


def _keys(request: HttpRequest, at: datetime) -> Iterator[Need]:
    by = principal_of(request)
    if not by.may("agents.invoke"):
        return
    for key in list_keys_that_end(by=by, after=at, until=at + SOON)[:NAMED]:
        note = f"{key.prefix}… of {key.member.label}. Replace it before programs are refused."
        ends = formats.moment(key.expires_at, now=at) if key.expires_at else ""
        title = f"The key {key.name} ends {ends}"
        yield Need("key-round", "warn", title, note, "/settings/keys/", "API keys")


def _invitations(at: datetime) -> Iterator[Need]:
    waiting = find_waiting_invitations(at=at)
    if waiting.number:
        one = waiting.number == 1
        title = f"{waiting.number} invitation{'' if one else 's'} {'waits' if one else 'wait'}"
        note = f"The next one ends {formats.moment(waiting.ends_at, now=at)}."
        yield Need("mail", "", f"{title} for an answer", note, "/settings/members/", "Members")
