"""Who reads what a text made of calls, and what stands in its place for everybody else.

A draft decides nothing, and whoever writes it could have it say what calls hold: in its reasons, in
what it obliges to, in why it failed. So of what drafts say, only the result is for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apps.common.json import Object
from apps.orgs.principals import Principal

READ: Final = "data.read"
_SAID: Final = ("reasons", "would_reasons")
_MADE: Final = ("obligations", "obligations_were", "obligations_would_be", "flaw")


def may_read(by: Principal) -> bool:
    return by.may(READ)


def told(by: Principal, drafts: Sequence[Object]) -> list[Object]:
    """What drafts would have said, as this principal reads it; `withheld` says what it takes to
    read all of it.
    """
    return list(drafts) if may_read(by) else [_bare(said) for said in drafts]


def _bare(said: Object) -> Object:
    kept = {name: value for name, value in said.items() if name not in _MADE}
    return {**kept, **{name: [] for name in _SAID if name in kept}, "withheld": READ}
