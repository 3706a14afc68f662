"""Agents as holders of API keys of their own.

Agents belong to a higher app, so it registers how one is found and held while it gets a key.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from apps.orgs.principals import Principal


class Hold(Protocol):
    """Locks the agent of this id or slug in the caller's transaction, if `by` has power over it.

    Raises NotFound, PermissionDenied, Conflict for one that is retired.
    """

    def __call__(self, ref: str, *, by: Principal) -> UUID: ...


_holds: list[Hold] = []


def register(hold: Hold) -> None:
    """Have agents held by this before they get a key."""
    _holds[:] = [hold]


def hold_agent(ref: str, *, by: Principal) -> UUID:
    """Hold an agent; what it raises is what `Hold` says."""
    return _holds[0](ref, by=by)
