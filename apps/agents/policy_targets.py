"""Agents as the apps below know them: what a policy can be attached to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apps.agents.models import Agent
from apps.agents.selectors import get_agent, list_agents
from apps.policies.places import AgentRef

MOST: Final = 500


class Directory:
    """The org's agents with their tools (`apps.policies.places.Agents`)."""

    def find(self, ref: str) -> AgentRef:
        return _ref(get_agent(ref))

    def all(self) -> Sequence[AgentRef]:
        return [_ref(agent) for agent in list_agents().order_by("name", "id")[:MOST]]


def _ref(agent: Agent) -> AgentRef:
    """With what it offers and what its model has called: the effects are the latter's."""
    offered = (capability.name for capability in agent.capabilities.all())
    own = (tool["name"] for tool in agent.config.get("tools", ()))
    return AgentRef(agent.id, agent.slug, agent.name, tuple(dict.fromkeys((*offered, *own))))
