"""Who may change what policies go by: a project's tags, a member's groups, and which project
something is of.

Whoever a policy keeps out by a tag could otherwise take the tag away, or get into a group that is
let through. So while policies are in force it takes the right to activate them besides. Policies
belong to a higher app, so it registers how to ask whether there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from apps.common.errors import PermissionDenied
from apps.orgs.principals import Principal

NEEDED: Final = "policies.activate"
FIXED: Final = "Policies go by this, so only who may activate policies can change it."
_asked: list[Callable[[], bool]] = []


def register(are_in_force: Callable[[], bool]) -> None:
    """Have this say whether any policy decides about calls of the org that is being served."""
    _asked[:] = [are_in_force]


def may(by: Principal) -> bool:
    """Whether this principal may change what policies go by, as far as these are concerned."""
    return by.may(NEEDED) or not any(ask() for ask in _asked)


def ask(by: Principal) -> Callable[[], bool]:
    """`may`, for a service that asks only where something of the kind would change."""
    return partial(may, by)


def nobody() -> bool:
    """The answer where nobody is told of."""
    return False


def refused(what: str) -> PermissionDenied:
    """What to raise for who may not; `what` is what would be changed."""
    return PermissionDenied(
        f"Policies in force go by {what}, so changing that needs the permission {NEEDED} too.",
        permission=NEEDED,
    )
