"""Reading a question: its parts, and the values that stand in each.

No pattern here looks at a character more than a few times: a question comes from anybody.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from apps.agents.runtimes.builtin.concierge.arithmetic import Expression, find_expressions

PARTS_MAX: Final = 20
REQUEST_MAX: Final = 40
"""How many words may stand before a colon that introduces a text."""
_MARKS: Final = range(0xE000, 0xF8FF)  # private use: one stands for each text that came along
_MARK: Final = re.compile("[\ue000-\uf8ff]")
_QUOTED: Final = re.compile(r"[\"“„«]([^\"“”„«»]{1,20000}+)[\"”“»]")
_INTRODUCED: Final = re.compile(
    r"(?::|\b(?i:this|these|the following|below|dies|diesen|folgenden|ceci|suivant)\b"
    r"[\w \t]{0,40}[.\n])\s++"
)
_QUESTION: Final = (
    r"(?i:what|how|who|when|where|which|was|wie|wer|wann|wo|quel|quelle|combien|qui)\b"
)
_OBJECT: Final = r"(?i:this|the|it|me|him|her|them|us|mir|uns|die|den|das|le|la|ce)\b"
_JOINT: Final = re.compile(
    r"(?<=[?!;]) |\. (?=[A-ZÀ-Ý\ue000-\uf8ff])"
    r"|[,;]? (?i:and then|then|and also|und dann|et puis) "
    rf"|,? (?i:and|und|et) (?={_QUESTION}|\w{{2,30}} (?:{_OBJECT}|[\d(\ue000-\uf8ff]))"
)
_NUMBER: Final = re.compile(r"(?<![\w.])-?+\d++(?:\.\d++)?+(?!\.?\d)")
_URL: Final = re.compile(r"https?://[^\s<>\"”]+")
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]++(?:\.[\w-]++)++")
_NAME: Final = r"[A-ZÀ-Ý][\w'’-]*+(?: [A-ZÀ-Ý][\w'’-]*+)*+"
_AFTER: Final = re.compile(
    r"\b(?:for|in|of|to|about|at|from|on|für|über|von|nach|pour|sur|de|à) (?:an? )?"
    rf"((?:the )?(?:{_NAME}|[\w'’-]++))"
)
_CAPITALISED: Final = re.compile(rf"(?<=[\w,] ){_NAME}")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is asked for: its words, and the values in it by their kind.

    `bodies` are the texts that came with the request (quoted, or introduced); `words` is the
    request without them, so that a text about the weather doesn't ask for the weather.
    """

    words: str
    bodies: tuple[str, ...]
    expressions: tuple[Expression, ...]
    numbers: tuple[float, ...]
    urls: tuple[str, ...]
    emails: tuple[str, ...]
    names: tuple[str, ...]


def read_parts(question: str, *, with_bodies: bool = True) -> list[Part]:
    """What a question asks for, one after the other."""
    plain = _MARK.sub(" ", question).strip()
    text, bodies = _take_bodies(plain) if with_bodies else (plain, [])
    found: list[Part] = []
    for piece in _pieces(text):
        own = tuple(bodies[ord(mark) - _MARKS.start] for mark in _MARK.findall(piece))
        words = " ".join(_MARK.sub(" ", piece).split())
        if any(letter.isalnum() for letter in words):
            found.append(_part(words, own))
        elif found:
            found[-1] = replace(found[-1], bodies=found[-1].bodies + own)
    return found[:PARTS_MAX]


def without(part: Part, expression: Expression) -> Part:
    """What is left to ask for once an expression has been dealt with."""
    rest = tuple(other for other in part.expressions if other is not expression)
    words = " ".join(part.words.replace(expression.text, " ", 1).split())
    return replace(part, words=words, expressions=rest)


def _take_bodies(question: str) -> tuple[str, list[str]]:
    """The request with a mark for each text that came with it, and those texts.

    What is introduced reaches to the end, quotes in it included, unless it is a quote itself.
    """
    quotes = list(_QUOTED.finditer(question))[: len(_MARKS) - 1]
    intro = _find_introduction(question, quotes)
    request, bodies, place = "", list[str](), 0
    for quote in quotes:
        if intro is None or quote.end() <= intro.start():
            request += f"{question[place : quote.start()]} {_mark(bodies, quote[1])} "
            place = quote.end()
    if intro is None:
        return request + question[place:], bodies
    last = _mark(bodies, question[intro.end() :])
    return f"{request}{question[place : intro.end()]} {last}", bodies


def _find_introduction(question: str, quotes: Sequence[re.Match[str]]) -> re.Match[str] | None:
    """What introduces a text that isn't quoted: no colon within a quote or before one does."""
    starts = [quote.start() for quote in quotes]
    for intro in _INTRODUCED.finditer(question):
        nearest = bisect(starts, intro.end()) - 1
        is_quoted = nearest >= 0 and quotes[nearest].end() > intro.start()
        if not is_quoted and _introduces(question, intro):
            return intro
    return None


def _mark(bodies: list[str], body: str) -> str:
    bodies.append(body.strip())
    return chr(_MARKS.start + len(bodies) - 1)


def _introduces(question: str, intro: re.Match[str]) -> bool:
    """Whether a text follows, rather than a word or two, and a request stands before."""
    head = question[: intro.start()].split(maxsplit=REQUEST_MAX)
    return len(head) <= REQUEST_MAX and len(question[intro.end() :].split(maxsplit=3)) >= 3


def _pieces(text: str) -> Iterator[str]:
    return (piece.strip(" ,;:.") for piece in _JOINT.split(" ".join(text.split())))


def _part(words: str, bodies: tuple[str, ...]) -> Part:
    urls = tuple(url.rstrip(".,;:!?)") for url in _URL.findall(words))
    emails = tuple(_EMAIL.findall(words))
    plain = _EMAIL.sub(" ; ", _URL.sub(" ; ", words))
    return Part(
        words=words,
        bodies=bodies,
        expressions=tuple(find_expressions(plain)),
        numbers=tuple(n for n in map(float, _NUMBER.findall(plain)) if math.isfinite(n)),
        urls=urls,
        emails=emails,
        names=tuple(dict.fromkeys([*_CAPITALISED.findall(plain), *_AFTER.findall(plain)])),
    )
