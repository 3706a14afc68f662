"""An input to begin with: the example that a schema shows, or the least that it asks for."""

from __future__ import annotations

from typing import Any, Final

from apps.common.json import Object

DEEPEST: Final = 6
EMPTY: Final[dict[str, Any]] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
    "null": None,
}


def example_input(schema: Object) -> Object:
    """A value of the schema's kind for a person to change; not always one that it allows."""
    value = _example(schema, 0)
    return value if isinstance(value, dict) else {}


def _example(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict):
        return None
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    for known in ("examples", "enum"):
        if isinstance(schema.get(known), list) and schema[known]:
            return schema[known][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind == "object" and depth < DEEPEST:
        return _object(schema, depth)
    return EMPTY.get(str(kind))


def _object(schema: Object, depth: int) -> Object:
    """Its required properties, and those that have an example; if there are neither, all."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = schema.get("required", [])
    shown = [name for name in properties if name in required or _shows(properties[name])]
    return {name: _example(properties[name], depth + 1) for name in shown or properties}


def _shows(schema: Any) -> bool:
    return isinstance(schema, dict) and bool({"const", "default", "examples"} & schema.keys())
