"""What agents' configs say of conversations: how many earlier turns an agent is given.

Whoever says nothing is given none: what was asked before stays in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apps.common.errors import Invalid
from apps.common.json import Object

FIELD: Final = "conversation"
TURNS_MAX: Final = 50


def check_conversation(config: Mapping[str, Any]) -> Object:
    """The config's field as it is kept, `{"conversation": {"turns"}}` or {}; raises Invalid."""
    said = config.get(FIELD, {})
    if not isinstance(said, dict):
        raise Invalid.of(f"config.{FIELD}", "Give an object.")
    if unknown := sorted(set(said) - {"turns"}):
        raise Invalid.of(f"config.{FIELD}.{unknown[0]}"[:200], "Unknown field.")
    if not said:
        return {}
    turns = said["turns"]
    if isinstance(turns, bool) or not isinstance(turns, int) or not 1 <= turns <= TURNS_MAX:
        raise Invalid.of(f"config.{FIELD}.turns", f"Use a whole number from 1 to {TURNS_MAX}.")
    return {FIELD: {"turns": turns}}


def turns_of(config: Object) -> int:
    """How many earlier turns an agent is given; 0 for none."""
    turns: int = config.get(FIELD, {}).get("turns", 0)
    return turns
