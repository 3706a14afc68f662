"""What pages say of a run beyond its data: why it ended as it did, and who can change that."""

from __future__ import annotations

from typing import Final

from apps.runs.errors import REASONS

# reason → a sentence for people
ENDINGS: Final = {
    "by_hand": "Somebody cancelled it. What it was doing was discarded.",
    "agent_stopped": "Its agent was stopped by the kill switch. What it was doing was discarded.",
    "agent_retired": "Its agent was retired while it was at work.",
    "deadline": "It took longer than the agent's timeout allows.",
    "parent_ended": "The run that called it was over before it was.",
    "lost": "The process that carried it out was lost, also after it was tried again.",
}


def why(reason: str) -> str:
    """A run's `reason` as a sentence; "" for one that needs no words."""
    return REASONS.get(reason) or ENDINGS.get(reason) or reason.replace("_", " ")
