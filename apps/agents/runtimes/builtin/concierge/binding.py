"""Making a tool's input of what stands in a part of a question.

Each property that the schema asks for is given the first value of a fitting kind; the whole is
then checked against the schema itself, so a tool is never called with what it doesn't take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs

from apps.agents.runtimes.base import ToolSpec
from apps.agents.runtimes.builtin.concierge.arithmetic import Expression
from apps.agents.runtimes.builtin.concierge.matching import stems, without_verb
from apps.agents.runtimes.builtin.concierge.reading import Part
from apps.common.json import Object
from apps.common.schemas import Validator, compile_schema

CERTAIN: Final = 3.0
LIKELY: Final = 0.5
EXACT_MAX: Final = 2**53 - 1
LONG_MIN: Final = 200
"""A property that takes more characters than these takes texts rather than names."""
VALIDATORS_KEPT: Final = 512
_TEXTS: Final = frozenset({"text", "message", "body", "content", "question", "query", "prompt"})
_DEFINITION: Final = "#/$defs/"
_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*+")
_COUNTED: Final = re.compile(r"(?<![\w.])(\d{1,9}+) (?=([^\W\d_]{3,30}))")
_WORD: Final = re.compile(r"[^\W_]+")
_NOTHING: Final = object()

Found = tuple[Any, float]


@dataclass(frozen=True, slots=True)
class Bound:
    """An input that the schema takes, and how much it proves that the tool is the right one.

    A value of a rare kind (arithmetic for a pattern that words don't satisfy, an address for a
    `format`) proves much; a text for a property that takes any proves nothing. `expression` is
    the arithmetic that went into it, `names` the words that became values.
    """

    input: Object
    proof: float
    names: str
    expression: Expression | None


def bind(part: Part, spec: ToolSpec) -> Bound | None:
    """An input for the tool out of this part, or None if the part doesn't hold one."""
    schema = spec.input_schema
    whole = _validator(_spelled(schema))
    if whole is None:
        return None
    properties: Object = schema.get("properties", {})
    required: list[str] = schema.get("required", [])
    values: Object = {}
    proof = 0.0
    for name in required:
        rules = _resolved(properties.get(name, {}), schema)
        value, weight = _value(part, spec, name, rules, list(values.values()))
        if value is _NOTHING:
            return None
        values[name], proof = value, proof + weight
    values |= _counts(part, schema, properties, set(values))
    if not whole.is_valid(values):
        return None
    given = [value for value in values.values() if isinstance(value, str)]
    used = next((e for e in part.expressions if e.text in given), None)
    return Bound(values, proof, " ".join(v for v in given if v in part.names), used)


def _value(part: Part, spec: ToolSpec, name: str, rules: Object, taken: list[Any]) -> Found:
    """The first value that the property's own rules take and no other property has."""
    for value, weight in _candidates(part, spec, name, rules):
        if value not in taken and _satisfies(value, rules):
            return value, weight
    return _NOTHING, 0.0


def _candidates(part: Part, spec: ToolSpec, name: str, rules: Object) -> Iterator[Found]:
    """Values of the property's type, the most telling kinds first."""
    choices = rules.get("enum")
    if isinstance(choices, list):
        said = f" {' '.join(_WORD.findall(part.words.casefold()))} "
        yield from ((c, CERTAIN) for c in choices if str(c) and f" {str(c).casefold()} " in said)
    kinds = rules.get("type", "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    whole = (int(n) for n in part.numbers if n.is_integer() and abs(n) <= EXACT_MAX)
    if "integer" in kinds:
        yield from ((number, LIKELY) for number in whole)
    elif "number" in kinds:
        yield from ((number, LIKELY) for number in part.numbers)
    if "string" in kinds:
        yield from _texts(part, spec, name, rules)
    yield from ((rules[key], 0.0) for key in ("const", "default") if key in rules)


def _texts(part: Part, spec: ToolSpec, name: str, rules: Object) -> Iterator[tuple[str, float]]:
    if rules.get("format") in {"uri", "url"}:
        yield from ((url, CERTAIN) for url in part.urls)
        return
    if rules.get("format") == "email":
        yield from ((email, CERTAIN) for email in part.emails)
        return
    if _wants_arithmetic(rules):
        yield from _arithmetic(part, spec)
        return
    bodies = sorted(part.bodies, key=len, reverse=True)
    yield from ((body, LIKELY) for body in bodies)
    names = [*part.names]
    if "pattern" in rules or "format" in rules:
        names += [word.strip("\"',;:.?!()") for word in part.words.split()]
    rest = [text] if (text := without_verb(part, spec)) else []
    wants_text = name.casefold() in _TEXTS or _is_long(rules)
    yield from ((text, 0.0) for text in (rest + names if wants_text else names + rest))


def _arithmetic(part: Part, spec: ToolSpec) -> Iterator[tuple[str, float]]:
    """Expressions all of whose names the tool itself speaks of."""
    for expression in part.expressions:
        if not expression.names or expression.names <= _known(spec):
            yield expression.text, LIKELY if expression.doubtful else CERTAIN


def _known(spec: ToolSpec) -> set[str]:
    told = json.dumps([spec.description, spec.input_schema], ensure_ascii=False)
    return set(_IDENTIFIER.findall(told.casefold()))


def _is_long(rules: Object) -> bool:
    longest = rules.get("maxLength")
    return isinstance(longest, int) and longest > LONG_MIN


def _wants_arithmetic(rules: Object) -> bool:
    """Whether a pattern takes arithmetic and its examples are arithmetic too."""
    examples = rules.get("examples")
    if not isinstance(rules.get("pattern"), str) or not isinstance(examples, list):
        return False
    return any(isinstance(e, str) and any(sign in e for sign in "+*/") for e in examples)


def _counts(part: Part, schema: Object, properties: Object, taken: set[str]) -> Object:
    """Numbers for properties that may be left out: "in 2 sentences" gives `sentences` 2."""
    said = {next(stems(word), ""): int(number) for number, word in _COUNTED.findall(part.words)}
    found: Object = {}
    for name in properties.keys() - taken:
        rules = _resolved(properties[name], schema)
        number = said.get(next(stems(name), "-"))
        is_number = rules.get("type") in {"integer", "number"}
        if number is not None and is_number and _satisfies(number, rules):
            found[name] = number
    return found


def _resolved(rules: Any, schema: Object) -> Object:
    """A property's rules, those that it refers to in the same schema included."""
    if not isinstance(rules, dict):
        return {}
    target, definitions = rules.get("$ref"), schema.get("$defs")
    if isinstance(target, str) and target.startswith(_DEFINITION) and isinstance(definitions, dict):
        found = definitions.get(target.removeprefix(_DEFINITION))
        rules = {**(found if isinstance(found, dict) else {}), **rules}
    return {**rules, "$defs": definitions} if definitions else rules


def _satisfies(value: Any, schema: Object) -> bool:
    validator = _validator(_spelled(schema))
    return validator is not None and validator.is_valid(value)


def _spelled(schema: Object) -> str:
    return json.dumps(schema)


@lru_cache(maxsize=VALIDATORS_KEPT)
def _validator(schema: str) -> Validator | None:
    """The validator of a schema in its spelling, None for what is no schema."""
    try:
        return compile_schema(json.loads(schema))
    except (ValueError, TypeError, jsonschema_rs.ReferencingError):
        return None
