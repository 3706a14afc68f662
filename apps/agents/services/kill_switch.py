"""The kill switch's other half: whoever has work of an agent under way ends it here.

The runs of an agent belong to a higher app, so it registers how they end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from apps.common.actors import Actor


class Stopper(Protocol):
    """Ends everything of an agent that is under way, in the caller's transaction; says how much."""

    def __call__(self, *, agent_id: UUID, actor: Actor, at: datetime, reason: str) -> int: ...


_stoppers: list[Stopper] = []


def on_kill(stopper: Stopper) -> Stopper:
    """Have `stopper` end what is under way when an agent is killed or retired."""
    if stopper not in _stoppers:
        _stoppers.append(stopper)
    return stopper


def stop_all(*, agent_id: UUID, actor: Actor, at: datetime, reason: str) -> int:
    """End everything that the agent has under way; how many runs that were."""
    return sum(stop(agent_id=agent_id, actor=actor, at=at, reason=reason) for stop in _stoppers)
