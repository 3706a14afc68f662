"""What pages say of a run beyond its data: why it ended as it did, and who can change that."""

from __future__ import annotations

from collections.abc import Mapping
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


# error code → what would mend it, and who can
MENDING: Final = {
    "output_invalid": "Whoever may edit the agent can change what the tool promises to give.",
    "limit_reached": "Whoever may edit the agent can raise the limit in its settings.",
    "timed_out": "Whoever may edit the agent can raise its timeout in its settings.",
    "internal_error": "The log and the steps below say how far it came.",
    "no_grant": "An admin can give a grant at the called agent.",
}
# The same for whole families of codes, by how they begin.
FAMILIES: Final = {
    "endpoint_": "Whoever runs the agent’s endpoint can mend this. The call can be sent again.",
    "model_": "An admin can change providers, their keys and prices under Agents, Models.",
    "expression_": "Change the input and run it again.",
}
# What a status says already needs no reason behind it.
SAID: Final = frozenset({"", "by_hand", "deadline", "timed_out"})


def status_label(status: str, reason: str, code: str = "") -> str:
    """A status with the word that explains it: "Failed: endpoint timeout"."""
    word = status.replace("_", " ").capitalize()
    ended = reason or code
    return word if ended in SAID else f"{word}: {ended.replace('_', ' ')}"


def mending(reason: str, code: str) -> str:
    """What would mend a run that failed, and who can; "" where nothing is known of it."""
    if reason == "deadline":
        return MENDING["timed_out"]
    family = next((text for begin, text in FAMILIES.items() if code.startswith(begin)), "")
    return MENDING.get(code, family)


def why(reason: str) -> str:
    """A run's `reason` as a sentence; "" for one that needs no words."""
    return REASONS.get(reason) or ENDINGS.get(reason) or reason.replace("_", " ")


# What a field of the filter is called where its value is told beside it.
FIELDS: Final = {
    "q": "words",
    "status": "status",
    "agent": "agent",
    "caller": "caller",
    "session_id": "session",
    "range": "time",
    "from": "from",
    "to": "to",
}
TOLD: Final = {"24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}


def filter_words(query: Mapping[str, str]) -> str:
    """A filter of the list as words: "status failed, time last 7 days"."""
    said = [
        f"{word} {_value(name, query[name])}"
        for name, word in FIELDS.items()
        if query.get(name) and query[name] != "custom"
    ]
    levels = ["with calls between agents"] if query.get("level") else []
    order = ["the oldest first"] if query.get("sort") else []
    return ", ".join([*said, *levels, *order])


def _value(name: str, value: str) -> str:
    if name == "q":
        return f"“{value}”"
    return TOLD.get(value, value.replace("_", " ") if name == "status" else value)
