"""Keys of an agent's own: who may make one."""

from __future__ import annotations

from uuid import UUID

from apps.agents.selectors import get_agent
from apps.agents.services.changing import lock_agent
from apps.orgs.denials import needed
from apps.orgs.permissions import DATA_READ
from apps.orgs.principals import Principal

NEEDED = ("agents.edit", DATA_READ)
"""Who has the key acts as the agent, and reads what anybody has had it ask for."""


def hold_agent(ref: str, *, by: Principal) -> UUID:
    """Hold an agent that gets a key: it retires before that and gets none, or after and takes it.

    Raises NotFound, PermissionDenied for who lacks what is `NEEDED`, and AgentStateConflict for a
    retired one.
    """
    for code in NEEDED:
        if not by.may(code):
            raise needed(code)
    return lock_agent(get_agent(ref).id).id
