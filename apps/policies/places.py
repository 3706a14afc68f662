"""Where a policy may be attached: the org, a project, an agent, or a tool of one.

Agents belong to a higher app, so it registers how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from apps.common.errors import Invalid, NotFound
from apps.common.ids import public_id
from apps.common.json import Object
from apps.orgs.selectors import AGENT, PROJECT, get_project
from apps.policies.models import Scope


@dataclass(frozen=True, slots=True)
class AgentRef:
    """An agent as policies name it, with the names of its tools."""

    id: UUID
    slug: str
    name: str
    tools: tuple[str, ...] = ()


class Agents(Protocol):
    """The org's agents."""

    def find(self, ref: str) -> AgentRef:
        """The agent of this id or slug; raises NotFound."""

    def all(self) -> Sequence[AgentRef]:
        """Those that aren't retired, by name, as many as a form can offer."""


_agents: list[Agents] = []


def register(agents: Agents) -> None:
    """Have agents found by this."""
    _agents[:] = [agents]


def find_agent(ref: str) -> AgentRef:
    """An agent by its id or slug; raises NotFound."""
    return _agents[0].find(ref)


def list_agents() -> Sequence[AgentRef]:
    """The agents that a policy may be attached to."""
    return _agents[0].all()


@dataclass(frozen=True, slots=True)
class Place:
    """What a policy is attached to; `name` is how `find_place` knows it within its scope."""

    scope: str
    name: str = ""
    project_id: UUID | None = None
    agent_id: UUID | None = None
    tool: str = ""

    @property
    def label(self) -> str:
        """The place in words that last."""
        return "the organization" if self.scope == Scope.ORG else f"{self.scope} {self.name}"

    def as_json(self) -> Object:
        """The place by its name and by its id, so that a name that has passed to another is told
        from it.
        """
        prefix, found = (AGENT, self.agent_id) if self.agent_id else (PROJECT, self.project_id)
        ref = public_id(prefix, found) if found else None
        return {"scope": str(self.scope), "name": self.name, "id": ref}


def find_place(scope: str, ref: str = "") -> Place:
    """The place that a scope and a name mean: a project's or agent's slug or id, and for a tool
    `agent/tool`. Raises Invalid.
    """
    match scope:
        case Scope.ORG:
            return _of_org(ref)
        case Scope.PROJECT:
            return _of_project(ref)
        case Scope.AGENT:
            agent = _agent(ref)
            return Place(scope, agent.slug, agent_id=agent.id)
        case Scope.TOOL:
            return _of_tool(ref)
    raise Invalid.of("attach.scope", f"Use one of: {', '.join(Scope.values)}.")


def _of_org(ref: str) -> Place:
    if ref:
        raise Invalid.of("attach.id", "The organization has no other name here.")
    return Place(Scope.ORG)


def _of_project(ref: str) -> Place:
    try:
        project = get_project(ref)
    except NotFound as error:
        raise Invalid.of("attach.id", "There is no such project.") from error
    return Place(Scope.PROJECT, project.slug, project_id=project.id)


def _of_tool(ref: str) -> Place:
    slug, slash, tool = ref.partition("/")
    agent = _agent(slug)
    if not slash and len(agent.tools) == 1:
        tool = agent.tools[0]
    if tool not in agent.tools:
        there = ", ".join(f"{agent.slug}/{name}" for name in agent.tools)
        raise Invalid.of("attach.id", f"Name the agent and its tool: {there}.")
    return Place(Scope.TOOL, f"{agent.slug}/{tool}", agent_id=agent.id, tool=tool)


def _agent(ref: str) -> AgentRef:
    try:
        return find_agent(ref)
    except NotFound as error:
        raise Invalid.of("attach.id", "There is no such agent.") from error
