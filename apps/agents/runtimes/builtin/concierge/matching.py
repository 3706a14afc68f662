"""How well a tool fits a part of a question, by what the tool says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from apps.agents.runtimes.base import ToolSpec
from apps.agents.runtimes.builtin.concierge.reading import Part
from apps.common.json import Object

ENOUGH: Final = 1.0
"""Below this a tool isn't called: a weak guess helps nobody and may cost something."""
_NAME_WEIGHT: Final = 2.0
_STEM: Final = 5
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_EMPTY: Final = frozenset(
    word
    for line in (
        "the and for are what with this that from have has was you your can could would please",
        "tell give how who which when where does did will its into about they them their any all",
        "one some der die das und ist ein eine wie was mit von les des une est que qui dans pour",
        "sur text word words agent agents tool tools call calls answer answers question",
    )
    for word in line.split()
)


def fitness(part: Part, spec: ToolSpec, proof: float) -> float:
    """How well a tool fits: words that both have, its name's twice, and what its input proves."""
    asked = set(stems(part.words))
    names = set(stems(spec.name.replace("_", " ").replace("-", " ")))
    said = set(stems(" ".join([spec.description, *_said_by(spec.input_schema)]))) - names
    return _NAME_WEIGHT * len(asked & names) + len(asked & said) + proof


def stems(text: str) -> Iterator[str]:
    """The beginnings of the words that carry meaning: "summarize" and "summary" begin alike."""
    for word in _WORD.findall(text.casefold()):
        if word not in _EMPTY:
            yield word[:_STEM]


def _said_by(schema: Object) -> Iterator[str]:
    """What a schema says in words: its properties' names, titles and descriptions."""
    properties = schema.get("properties")
    for name, rules in properties.items() if isinstance(properties, dict) else ():
        yield str(name).replace("_", " ").replace("-", " ")
        if isinstance(rules, dict):
            yield f"{rules.get('title', '')} {rules.get('description', '')}"
