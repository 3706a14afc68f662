"""What a member leaves behind in higher apps, put in order when they go.

In the transaction that ends the membership, so that nobody is gone here and still served there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from apps.common.actors import Actor


class Follow(Protocol):
    """Ends what was the member's alone, on behalf of who ended the membership."""

    def __call__(self, *, member_id: UUID, actor: Actor, at: datetime) -> None: ...


_follows: list[Follow] = []


def register(follow: Follow) -> None:
    """Have this done when a member is removed or leaves."""
    if follow not in _follows:
        _follows.append(follow)


def follow_all(*, member_id: UUID, actor: Actor, at: datetime) -> None:
    """Do it all; called with the member's row held."""
    for follow in _follows:
        follow(member_id=member_id, actor=actor, at=at)
