"""Who does something: one small value that every service takes and the audit log keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ActorType(StrEnum):
    """The kinds of principals; `system` is the product itself, `operator` runs the SaaS."""

    USER = "user"
    AGENT = "agent"
    API_KEY = "api_key"
    SYSTEM = "system"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Actor:
    """A principal as it was when it acted.

    `id` is its public id (`mem_…`, `key_…`) and lasts; `label` is the name it went by, kept so that
    a log stays readable after the principal is renamed or gone.
    """

    type: ActorType
    id: str
    label: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", ActorType(self.type))

    @property
    def principal(self) -> str:
        """The actor as one key, for counting and limiting: `api_key:key_0190…`."""
        return f"{self.type}:{self.id}"

    def as_json(self) -> dict[str, str]:
        return {"type": self.type.value, "id": self.id, "label": self.label}


SYSTEM: Final = Actor(ActorType.SYSTEM, "mandate", "Mandate")
"""The product acting by itself: sweepers, expiry, provisioning."""
