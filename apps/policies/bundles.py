"""An org's policies as they are asked: which texts count where. Nothing here knows a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from apps.common.ids import public_id
from apps.common.json import Object
from apps.policies.engine.types import Obligations, Opinion, Rate, Text
from apps.policies.questions import Resource

POLICY: Final = "pol"
Where = tuple[str, UUID | None, str]
"""A scope, what it names, and the tool of it: `("tool", agent, "echo")`, `("org", None, "")`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy with all that it is attached to: its active text, and the draft that shadows it."""

    policy_id: UUID
    active: Text | None
    shadow: Text | None
    attached: frozenset[Where]

    def covers(self, resource: Resource) -> bool:
        return not self.attached.isdisjoint(wheres_of(resource))


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that counts in an org, by the number that every change of it counts up."""

    number: int
    default_answer: Literal["allow", "deny"]
    entries: tuple[Entry, ...]

    def covering(self, resource: Resource) -> list[Entry]:
        """The policies that are attached to a call's org, project, agent or tool, each once."""
        return [entry for entry in self.entries if entry.covers(resource)]

    @property
    def weight(self) -> int:
        """How many characters it holds."""
        texts = [text for entry in self.entries for text in (entry.active, entry.shadow)]
        return 200 + sum(len(text.rego) for text in texts if text)


def wheres_of(resource: Resource) -> frozenset[Where]:
    """Everything that a policy may be attached to and would count for a call."""
    return frozenset(
        {
            ("org", None, ""),
            ("project", resource.project_id, ""),
            ("project", resource.agent_project_id, ""),
            ("agent", resource.agent_id, ""),
            ("tool", resource.agent_id, resource.tool),
        }
    )


def opinion_as_json(policy_id: UUID, opinion: Opinion) -> Object:
    """What one policy said, as a decision keeps it."""
    text = opinion.text
    said: Object = {
        "id": text.id,
        "policy": public_id(POLICY, policy_id),
        "name": text.name,
        "version": text.version,
        "result": opinion.result,
        "reasons": list(opinion.reasons),
    }
    more = {"obligations": obligations_as_json(opinion.obligations), "flaw": opinion.flaw}
    return {**said, **{name: value for name, value in more.items() if value}}


def obligations_as_json(obligations: Obligations) -> Object:
    """What a decision obliges to, as it is kept; {} for nothing."""
    found: Object = {
        "mask": list(obligations.mask),
        "cap_cost_micros": obligations.cap_cost_micros,
        "rates": [
            {"requests": rate.requests, "seconds": rate.seconds} for rate in obligations.rates
        ],
    }
    return {name: value for name, value in found.items() if value not in ([], None)}


def obligations_of_json(kept: Object) -> Obligations:
    """What `obligations_as_json` wrote, read back."""
    return Obligations(
        mask=tuple(kept.get("mask", ())),
        cap_cost_micros=kept.get("cap_cost_micros"),
        rates=tuple(Rate(rate["requests"], rate["seconds"]) for rate in kept.get("rates", ())),
    )
