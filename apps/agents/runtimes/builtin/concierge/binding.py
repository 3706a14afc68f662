"""Making a tool's input of what stands in a part of a question.

Each property that the schema asks for is given the first value of a fitting kind; the whole is
then checked against the schema itself, so a tool is never called with what it doesn't take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from apps.agents.runtimes.builtin.concierge.reading import Part
from apps.common.json import Object
from apps.common.schemas import compile_schema

CERTAIN: Final = 3.0
LIKELY: Final = 0.5
_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Bound:
    """An input that the schema takes, and how much it proves that the tool is the right one.

    A value of a rare kind (arithmetic for a pattern that words don't satisfy, an address for a
    `format`) proves much; a text for a property that takes any proves nothing.
    """

    input: Object
    proof: float


def bind(part: Part, schema: Object) -> Bound | None:
    """An input for the tool out of this part, or None if the part doesn't hold one."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return None
    values: Object = {}
    proof = 0.0
    for name in required:
        rules = properties.get(name, {})
        value, weight = _value(
            part, rules if isinstance(rules, dict) else {}, list(values.values())
        )
        if value is _NOTHING:
            return None
        values[name], proof = value, proof + weight
    return Bound(values, proof) if _satisfies(values, schema) else None


def _value(part: Part, rules: Object, taken: list[Any]) -> tuple[Any, float]:
    """The first value that the property's own rules take and no other property has."""
    for value, weight in _candidates(part, rules):
        if value not in taken and _satisfies(value, rules):
            return value, weight
    return _NOTHING, 0.0


def _candidates(part: Part, rules: Object) -> Iterator[tuple[Any, float]]:
    """Values of the property's type, the most telling kinds first."""
    choices = rules.get("enum")
    if isinstance(choices, list):
        yield from ((c, CERTAIN) for c in choices if str(c).casefold() in part.words.casefold())
    kind = rules.get("type", "string")
    if kind == "number":
        yield from ((number, LIKELY) for number in part.numbers)
    elif kind == "integer":
        yield from ((int(number), LIKELY) for number in part.numbers if number.is_integer())
    elif kind == "string":
        yield from _texts(part, rules)


def _texts(part: Part, rules: Object) -> Iterator[tuple[str, float]]:
    if rules.get("format") in {"uri", "url"}:
        yield from ((url, CERTAIN) for url in part.urls)
        return
    if rules.get("format") == "email":
        yield from ((email, CERTAIN) for email in part.emails)
        return
    if _wants_arithmetic(rules):
        yield from ((expression, CERTAIN) for expression in part.arithmetic)
        return
    if part.body:
        yield part.body, LIKELY
    yield from ((name, 0.0) for name in part.names)
    yield part.words, 0.0


def _wants_arithmetic(rules: Object) -> bool:
    """Whether a pattern takes arithmetic and its examples are arithmetic too."""
    examples = rules.get("examples")
    if not isinstance(rules.get("pattern"), str) or not isinstance(examples, list):
        return False
    return any(isinstance(e, str) and any(sign in e for sign in "+*/") for e in examples)


def _satisfies(value: Any, schema: Object) -> bool:
    try:
        return compile_schema(schema).is_valid(value)
    except ValueError:
        return False
