"""How well a tool fits a part of a question, by what the tool says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from apps.agents.runtimes.base import ToolSpec
from apps.agents.runtimes.builtin.concierge.reading import Part
from apps.common.json import Object

ENOUGH: Final = 2.0
"""With this a tool is called: its name's word, two of its description's, or a telling input."""
_NAME_WEIGHT: Final = 2.0
TEXTS_KEPT: Final = 1024
_HALF: Final = 0.5
_STEM: Final = 5
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_EMPTY: Final = frozenset(
    word
    for line in (
        "the and for are what with this that these from have has was you your can could would",
        "please tell give how who which when where does did will its into about they them their",
        "any all one some der die das und ist ein eine wie was mit von les des une est que qui",
        "dans pour sur text word words agent agents tool tools call calls answer answers question",
        "much many dies diesen bitte folgenden following below a an it i me my we us to of in",
    )
    for word in line.split()
)


def fitness(part: Part, spec: ToolSpec, *, proof: float, bound: str, is_sum: bool) -> float:
    """How well a tool fits, 0.0 if not enough to call it.

    What counts is the words that both have, its name's twice, and what its input proves. A little
    is enough where it is half of what was asked (the words that became the input, `bound`, aside)
    or where nothing but arithmetic was.
    """
    asked = set(stems(part.words)) - set(stems(bound))
    names = _stems_of(_spaced(spec.name))
    said = _stems_of(" ".join([spec.description, *_said_by(spec.input_schema)])) - names
    score = _NAME_WEIGHT * len(asked & names) + len(asked & said) + proof
    shared = len(asked & (names | said))
    is_half = (shared > 0 or is_sum) and shared >= _HALF * len(asked)
    return score if score >= ENOUGH or is_half else 0.0


def stems(text: str) -> Iterator[str]:
    """The beginnings of the words that carry meaning: "summarize" and "summary" begin alike."""
    for word in _WORD.findall(text.casefold()):
        if word not in _EMPTY:
            yield word[:_STEM]


def without_verb(part: Part, spec: ToolSpec) -> str:
    """The part without the words at its beginning that name the tool: "Repeat hello" → "hello".

    Empty if nothing that carries meaning is left.
    """
    own = _stems_of(_spaced(spec.name)) | _stems_of(spec.description)
    words = part.words.split()
    begin = 0
    for place, word in enumerate(words):
        if any(stem in own for stem in stems(word)):
            begin = place + 1
        elif not _is_empty(word):
            break
    rest = words[begin:]
    return "" if all(_is_empty(word) for word in rest) else " ".join(rest)


@lru_cache(maxsize=TEXTS_KEPT)
def _stems_of(text: str) -> frozenset[str]:
    """The stems of what a tool says of itself, which is asked again with every part."""
    return frozenset(stems(text))


def _is_empty(word: str) -> bool:
    return word.casefold().strip("\"',;:.?!()") in _EMPTY | {""}


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _said_by(schema: Object) -> Iterator[str]:
    """What a schema says in words: its properties' names, titles and descriptions."""
    properties = schema.get("properties")
    for name, rules in properties.items() if isinstance(properties, dict) else ():
        yield _spaced(str(name))
        if isinstance(rules, dict):
            yield f"{rules.get('title', '')} {rules.get('description', '')}"
