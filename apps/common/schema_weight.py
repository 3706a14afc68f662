"""How often a JSON Schema can have one value checked.

Validators follow a schema as it is written. One whose parts refer to each other twice at every
step makes them check the same value 2, 4, 8 … times: a kilobyte is enough to keep a process busy
for years. So a schema is walked along every path that a value can take through it, and counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

MOST: Final = 250
"""How often one value may be checked."""
_STEPS: Final = 30_000
_DEPTH: Final = 64  # of the deepest JSON that is taken (apps.trust.canonical)

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLES: Final = ("not", "if", "then", "else")
_NONE: Final[frozenset[str]] = frozenset()

Situation = frozenset[tuple[str, int]]
"""Which parts of the schema, by their JSON Pointers, check one value, and how often each."""


class TooHeavy(ValueError):
    """The schema would have values checked too often, or can't be followed; says why."""


def check_weight(schema: dict[str, Any]) -> None:
    """Raise TooHeavy for a schema that has one value checked more than MOST times."""
    try:
        _Walk(schema).run()
    except TooHeavy:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TooHeavy("its parts can't be followed") from error


@dataclass(frozen=True, slots=True)
class _Child:
    """A part that is applied deeper in a value: to one of its members, or to all but some."""

    pointer: str
    kind: str
    name: str | None = None
    without: frozenset[str] = _NONE


class _Walk:
    """Goes from the whole value to ever deeper parts of it; equal situations are visited once."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.steps = 0
        self.closures: dict[str, Counter[str]] = {}

    def run(self) -> None:
        level: set[Situation] = {frozenset({("", 1)})}
        seen = set(level)
        for _ in range(_DEPTH):
            level = {deeper for situation in level for deeper in self.deeper(situation)} - seen
            seen |= level

    def deeper(self, situation: Situation) -> Iterator[Situation]:
        """What checks each member of a value that `situation` checks."""
        here: Counter[str] = Counter()
        for pointer, times in situation:
            self.add(here, self.closure(pointer), times)
        named: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        general: defaultdict[str, list[tuple[_Child, int]]] = defaultdict(list)
        for pointer, times in here.items():
            for child in self.children(pointer):
                self.count()
                if child.name is None:
                    general[child.kind].append((child, times))
                else:
                    named[child.kind, child.name][child.pointer] += times
        for rest in list(general.values()):
            yield self.joined(Counter(), rest, "")
        for (kind, name), own in named.items():
            yield self.joined(own, general[kind], name)

    def joined(self, own: Counter[str], rest: list[tuple[_Child, int]], name: str) -> Situation:
        """What checks the member of that name: what names it, and what means all but others."""
        for child, times in rest:
            self.count()
            if name not in child.without:
                own[child.pointer] += times
        return frozenset(own.items())

    def closure(self, pointer: str, path: tuple[str, ...] = ()) -> Counter[str]:
        """A part and all that it has check the same value, each as often as it does."""
        if pointer in path:
            raise TooHeavy("a part refers to itself without going deeper into the value")
        if pointer not in self.closures:
            found = Counter({pointer: 1})
            for other in self.beside(pointer):
                self.add(found, self.closure(other, (*path, pointer)), 1)
            self.closures[pointer] = found
        return self.closures[pointer]

    def add(self, found: Counter[str], more: Counter[str], times: int) -> None:
        for pointer, count in more.items():
            self.count()
            found[pointer] += times * count
        if found.total() > MOST:
            raise TooHeavy(f"it would have one value checked more than {MOST} times")

    def count(self) -> None:
        """Bound the walk itself."""
        self.steps += 1
        if self.steps > _STEPS:
            raise TooHeavy("its parts refer to each other in too many ways")

    def beside(self, pointer: str) -> Iterator[str]:
        """The parts that a part applies to the same value."""
        part = self.part(pointer)
        if "$dynamicRef" in part or (pointer and "$id" in part):
            raise TooHeavy('refer to its parts by "$ref" alone, without "$dynamicRef" and "$id"')
        if "$ref" in part:
            yield _target(part["$ref"])
        for word in _LISTS:
            yield from (f"{pointer}/{word}/{number}" for number in range(len(part.get(word, ()))))
        yield from (f"{pointer}/{word}" for word in _SINGLES if word in part)
        yield from _each(pointer, part, "dependentSchemas")

    def children(self, pointer: str) -> Iterator[_Child]:
        """The parts that a part applies to members of the value."""
        part = self.part(pointer)
        names = frozenset(part.get("properties", ()))
        for name, child in zip(
            part.get("properties", ()), _each(pointer, part, "properties"), strict=True
        ):
            yield _Child(child, ".", name)
        for child in _each(pointer, part, "patternProperties"):
            yield _Child(child, ".")
        for word in ("additionalProperties", "unevaluatedProperties"):
            if word in part:
                yield _Child(f"{pointer}/{word}", ".", without=names)
        if "propertyNames" in part:
            yield _Child(f"{pointer}/propertyNames", "name")
        first = [str(number) for number in range(len(part.get("prefixItems", ())))]
        yield from (_Child(f"{pointer}/prefixItems/{number}", "[]", number) for number in first)
        for word, without in (("items", first), ("unevaluatedItems", first), ("contains", ())):
            if word in part:
                yield _Child(f"{pointer}/{word}", "[]", without=frozenset(without))

    def part(self, pointer: str) -> dict[str, Any]:
        """The part of the schema at a pointer; `true` and `false` are parts without parts."""
        found: Any = self.schema
        for step in pointer.split("/")[1:]:
            found = found[int(step) if isinstance(found, list) else _plain(step)]
        return found if isinstance(found, dict) else {}


def _target(ref: str) -> str:
    """The pointer that a `$ref` holds, in its one spelling (RFC 6901 §3, §6)."""
    if ref != "#" and not ref.startswith("#/"):
        raise TooHeavy('a "$ref" must point into the schema itself, such as #/$defs/name')
    steps = (_escaped(_plain(step)) for step in unquote(ref[1:]).split("/")[1:])
    return "".join(f"/{step}" for step in steps)


def _each(pointer: str, part: dict[str, Any], word: str) -> Iterator[str]:
    return (f"{pointer}/{word}/{_escaped(name)}" for name in part.get(word, ()))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _plain(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
