"""What higher apps want known of whoever enters, read in the one query that finds the member.

Every page asks for the member anyway, so what every page shows of them costs no round trip more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_expressions: dict[str, Any] = {}


def bring(name: str, expression: Any) -> None:
    """Have this expression over a member's row read along; `Principal.beside[name]` is its value.

    It is evaluated at every request of a browser, so it is one look into an index.
    """
    _expressions[name] = expression


def expressions() -> Mapping[str, Any]:
    return _expressions


def read(member: Any) -> dict[str, Any]:
    """What was brought along with a member's row."""
    return {name: getattr(member, name) for name in _expressions}
