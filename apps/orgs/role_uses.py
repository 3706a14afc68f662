"""What else hangs on a role than its members, told by higher apps.

What is left to a role to do would be nobody's once the role is gone or may no longer do it, so the
app whose it is says so before that happens.
"""

from __future__ import annotations

from typing import Protocol

from apps.orgs.models import Role


class Use(Protocol):
    """Says what would be left undone if the role could do no more than `codes`; "" for nothing.

    Called with the role held, so whoever leaves something to a role holds it too.
    """

    def __call__(self, role: Role, codes: frozenset[str]) -> str: ...


_uses: list[Use] = []


def register(use: Use) -> None:
    """Have this asked before a role loses permissions or goes."""
    if use not in _uses:
        _uses.append(use)


def find_use(role: Role, codes: frozenset[str]) -> str:
    """The first reason there is against it."""
    return next((said for use in _uses if (said := use(role, codes))), "")
