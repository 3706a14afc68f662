"""An operator who sees an org with a member's eyes: who, as whom, why, and until when.

It is a session of its own on the org's host, below the operator's on the apex, and ends with that
one. It ends by itself at `until`, which is when its row expires, and at once when the operator is
one no more. Whatever could change something is refused before any view (`EntryMiddleware`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase

from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id
from apps.tenants.sessions import IMPERSONATION

View = TypeVar("View", bound=Callable[..., Any])
NAMED_MAX: Final = 96
"""How much of an address stands in a label, which has room for two."""


@dataclass(frozen=True, slots=True)
class Impersonation:
    """A look through a member's eyes; both people are named by their addresses."""

    operator_id: UUID
    operator: str
    member_id: UUID
    member: str
    reason: str
    until: datetime

    @property
    def actor(self) -> Actor:
        """Who acts: the operator, and never just the member."""
        label = f"{_short(self.operator)} as {_short(self.member)}"
        return Actor(ActorType.OPERATOR, public_id("usr", self.operator_id), label)

    def as_json(self) -> dict[str, str]:
        return {
            "operator_id": str(self.operator_id),
            "operator": self.operator,
            "member_id": str(self.member_id),
            "member": self.member,
            "reason": self.reason,
            "until": self.until.isoformat(),
        }

    @classmethod
    def from_json(cls, noted: Mapping[str, str]) -> Impersonation:
        return cls(
            operator_id=UUID(noted["operator_id"]),
            operator=noted["operator"],
            member_id=UUID(noted["member_id"]),
            member=noted["member"],
            reason=noted["reason"],
            until=datetime.fromisoformat(noted["until"]),
        )


def of_session(session: SessionBase) -> Impersonation | None:
    """The look that this session is; None for a session of one's own."""
    noted = session.get(IMPERSONATION)
    return Impersonation.from_json(noted) if noted else None


def ends_impersonation(view: View) -> View:
    """Let an impersonated session send a form to this view: all that it does is to end it."""
    view.ends_impersonation = True  # type: ignore[attr-defined]
    return view


def _short(address: str) -> str:
    return address if len(address) <= NAMED_MAX else f"{address[: NAMED_MAX - 1]}…"
