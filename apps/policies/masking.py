"""What an obligation to mask does to a value: one meaning of a path for all that is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from apps.common.json import Object

MASKED: Final = "[masked]"


def mask(value: Object, paths: Iterable[str], *, root: str) -> Object:
    """A copy in which nobody reads what stands at those of the dotted paths that begin with `root`.

    A list on the way is gone through item by item; a path that leads nowhere hides nothing. The
    root itself hides everything that it has.
    """
    parts = [path.split(".") for path in paths]
    ways = [rest for first, *rest in parts if first == root]
    for way in ways:
        value = _masked(value, way or None)
    return value


def _masked(value: Any, way: Sequence[str] | None) -> Any:
    if isinstance(value, list):
        return [_masked(item, way) for item in value]
    if not isinstance(value, dict):
        return value
    if way is None:
        return dict.fromkeys(value, MASKED)
    name, *rest = way
    if name not in value:
        return value
    return {**value, name: _masked(value[name], rest) if rest else MASKED}
