"""Who is acting inside an org, and what they may do there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.common.actors import Actor
from apps.orgs.permissions import DATA_READ


@dataclass(frozen=True, slots=True)
class Principal:
    """A member in a browser, or a key that acts for one or as an agent; all that checks and
    records need of it. `member_id` is who answers: of an agent's key, the member who made it.

    `role_permissions` is what the member's role allows; `permissions` is what remains of it after
    the key's scopes, and is what every check asks. Unrestricted is a person, or a key with `*`.
    `groups` are the member's, for policies. `beside` is what higher apps have read along with a
    member in a browser (apps.orgs.beside).
    """

    actor: Actor
    org_id: UUID
    member_id: UUID
    member_label: str
    email: str
    role: str
    role_name: str
    role_permissions: frozenset[str]
    permissions: frozenset[str]
    key_id: UUID | None = None
    agent_id: UUID | None = None
    expires_at: datetime | None = None
    is_unrestricted: bool = True
    groups: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def rate_limit_key(self) -> str:
        """Limits are counted per org and per caller."""
        return f"{self.org_id}:{self.actor.principal}"

    @property
    def reads_own(self) -> bool:
        """Whether it reads what was asked for under its name. An agent's key does as long as its
        maker reads data: the agent has asked for more than by this key and for this maker.
        """
        return self.agent_id is None or DATA_READ in self.role_permissions

    def may(self, code: str) -> bool:
        return code in self.permissions

    def without(self, codes: frozenset[str]) -> Principal:
        """The same, who may none of these here."""
        return replace(self, permissions=self.permissions - codes)
