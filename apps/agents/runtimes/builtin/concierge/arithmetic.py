"""Finding arithmetic in a sentence: whole expressions, or none where it isn't clear.

A part of an expression has another value than the whole, so what can't be read to its end ("2 * 3
- my age", "1,5 * 2") is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})++(?![\d,])(?:\.\d++)?+")
_TOKEN: Final = re.compile(
    r"(?P<number>\d++(?:\.\d++)?+(?:[eE][+-]?+\d++)?+|\.\d++)|(?P<name>[^\W\d]\w*+)"
    r"|(?P<operator>\*\*|//|[-+*/%^])|(?P<open>\()|(?P<close>\))|(?P<comma>,)|(?P<other>\S)"
)
_DATE: Final = re.compile(r"\d{4}([-/])\d{1,2}\1\d{1,2}|\d{1,2}([-/])\d{1,2}\2(?:\d{2}|\d{4})")
_LOOSE: Final = re.compile(r"\d++[-/]\d++")
# Words of a sentence that may stand beside a sign and never name a value.
_NO_NAMES: Final = frozenset(
    ["a", "an", "and", "by", "from", "in", "is", "of", "or", "the", "to"]
    + ["und", "der", "die", "das", "et", "le", "la"]
)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, and the names that whoever calculates it must know.

    One like "10-12" or "24/7" is `doubtful`: people write other things in that way too.
    """

    text: str
    names: frozenset[str]
    doubtful: bool


@dataclass(slots=True)
class _Run:
    """Tokens that have followed each other as in an expression, so far."""

    begin: int
    end: int
    names: set[str] = field(default_factory=set)
    depth: int = 0
    verbs: int = 0
    values: int = 0
    wants_value: bool = True
    unclear: bool = False
    grouped: bool = False


def find_expressions(text: str) -> list[Expression]:
    """The expressions in a text, in their order; the cost is linear in its length."""
    found = (_expression(text[run.begin : run.end].strip(), run) for run in _runs(text))
    return [expression for expression in found if expression]


def _expression(text: str, run: _Run) -> Expression | None:
    """The run as an expression, if it is one."""
    if run.unclear or run.wants_value or run.depth or not run.verbs or not run.values:
        return None
    if _DATE.fullmatch(text) or run.names & _NO_NAMES:
        return None
    clean = text.replace(",", "") if run.grouped else text
    return Expression(clean, frozenset(run.names), _LOOSE.fullmatch(text) is not None)


def _runs(text: str) -> Iterator[_Run]:
    run, place = _Run(0, 0), 0
    while place < len(text):
        grouped = _GROUPED.match(text, place) if run.depth == 0 else None
        token = grouped or _TOKEN.match(text, place)
        if token is None:
            place += 1
            continue
        kind = "number" if grouped else str(token.lastgroup)
        glued = token.start() == run.end > run.begin
        following = text[token.end() : token.end() + 1]
        if not _takes(run, kind, token[0], following):
            torn = glued and _is_torn(kind, text, token.end())
            run.unclear |= torn
            yield run
            run = _Run(token.start(), token.start(), unclear=torn or _breaks_off(run))
            if not _takes(run, kind, token[0], following):
                run.begin = token.end()
        if grouped:
            run.grouped = True
        run.end = place = token.end()
    yield run


def _takes(run: _Run, kind: str, token: str, following: str) -> bool:
    """Whether the token goes on with the run; it has been added to it then."""
    if kind == "open" and run.wants_value:
        run.depth += 1
    elif kind in {"number", "name"} and run.wants_value:
        _add_value(run, kind, token, is_call=following == "(")
    elif kind == "operator" and run.wants_value:
        return token in {"-", "+"}
    elif kind == "operator":
        run.verbs += 1
        run.wants_value = True
    elif kind == "comma" and run.depth and not run.wants_value:
        run.wants_value = True
    elif kind == "close" and run.depth and not run.wants_value:
        run.depth -= 1
    else:
        return False
    return True


def _add_value(run: _Run, kind: str, token: str, *, is_call: bool) -> None:
    """A number or a name; a name with its parenthesis right behind is a function's."""
    if kind == "name":
        run.names.add(token.casefold())
    run.verbs += is_call and kind == "name"
    run.values += kind == "number"
    run.wants_value = is_call and kind == "name"


def _is_torn(kind: str, text: str, end: int) -> bool:
    """Whether what ends a run without a space belongs to it: "3x", "1.2.3", "1,5"."""
    return kind in {"number", "name", "open"} or (kind == "comma" and text[end : end + 1].isdigit())


def _breaks_off(run: _Run) -> bool:
    """Whether a sentence's word stands where a value should: "20% of 50 + 1"."""
    return run.verbs > 0 and bool(run.names & _NO_NAMES)
