"""JSON as Python holds it, and what of it can be kept.

Kept is what means the same to every reader (I-JSON, RFC 7493), has one canonical spelling
(RFC 8785) and a place in Postgres: no NUL or half of a surrogate pair in a text, no NaN and no
Infinity, no integer that a double can't hold, no nesting without end. `find_flaw` is the one door:
whatever comes from people, agents and endpoints is asked there before it is written.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, Never

from apps.common.errors import FieldError, Invalid

Object = dict[str, Any]
"""A JSON object: what goes into an agent and comes out of it."""

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**53 - 1
_UNKEEPABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_TEXT: Final = "A text can't hold NUL or half of a surrogate pair."
_NUMBER: Final = f"A number is finite, and an integer at most {MAX_INTEGER}."
_KIND: Final = "This isn't JSON."
_DEPTH: Final = f"This is nested deeper than {MAX_DEPTH}."

_Flaw = tuple[tuple[str, ...], str]


class JsonDecoder(json.JSONDecoder):
    """Reads back what was kept: Postgres writes the double 1e20 as an integer; it is a double."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"parse_int": _number, **options})


def find_flaw(value: object, *, root: str) -> FieldError | None:
    """Say what keeps a value from being kept, at its dotted path below `root`; None if nothing."""
    flaw = _flaw(value, MAX_DEPTH)
    if flaw is None:
        return None
    path, message = flaw
    return FieldError(field=".".join(filter(None, [root, *map(kept_text, path)])), message=message)


def as_kept(value: object, depth: int = MAX_DEPTH) -> Any:
    """The nearest value that can be kept, for what is told and not relied on: logs and notes."""
    if not depth and isinstance(value, dict | list | tuple):
        return "…"
    if isinstance(value, dict):
        return {kept_text(str(name)): as_kept(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_kept(item, depth - 1) for item in value]
    if _flaw(value, 0) is None:
        return value
    return hex(value) if isinstance(value, int) else kept_text(str(value))


def kept_text(text: str) -> str:
    """The text with a replacement character for each one that can't be kept."""
    return _UNKEEPABLE.sub("\ufffd", text)


def read_typed(text: str) -> Any:
    """Read what somebody typed as JSON that can be kept; raises Invalid, saying where it isn't."""
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno}, column {error.colno}"
        raise Invalid(f"This is no JSON: {error.msg} {where}.") from error
    except (ValueError, RecursionError) as error:
        raise Invalid("This can't be held as JSON.") from error
    if flaw := find_flaw(value, root=""):
        raise Invalid(f"This can't be held as JSON: {flaw['field']}: {flaw['message']}")
    return value


def _flaw(value: object, depth: int) -> _Flaw | None:
    """The first flaw and the way to it."""
    if isinstance(value, str):
        return ((), _TEXT) if _UNKEEPABLE.search(value) else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        exact = math.isfinite(value) if isinstance(value, float) else abs(value) <= MAX_INTEGER
        return None if exact else ((), _NUMBER)
    if not isinstance(value, dict | list | tuple):
        return (), _KIND
    if not depth:
        return (), _DEPTH
    return _flaw_within(value, depth - 1)


def _flaw_within(value: Any, depth: int) -> _Flaw | None:
    is_object = isinstance(value, dict)
    for name, item in value.items() if is_object else enumerate(value):
        if is_object and not isinstance(name, str):
            return (str(name),), _KIND
        flaw = (_flaw(name, depth) if is_object else None) or _flaw(item, depth)
        if flaw is not None:
            return (str(name), *flaw[0]), flaw[1]
    return None


def _members(pairs: list[tuple[str, Any]]) -> Object:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _number(digits: str) -> int | float:
    """What was kept has no integer beyond a double's exact ones, so this was a double."""
    is_exact = len(digits) <= len(str(-MAX_INTEGER)) and abs(int(digits)) <= MAX_INTEGER
    return int(digits) if is_exact else float(digits)


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
