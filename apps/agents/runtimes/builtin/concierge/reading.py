"""Reading a question: its parts, and the values that stand in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

PARTS_MAX: Final = 20
_QUOTED: Final = re.compile(r"[\"“„«]([^\"“”„«»]{1,20000})[\"”“»]")
_JOINT: Final = re.compile(
    r"(?<=[?!;])\s+|\.\s+(?=[A-ZÀ-Ý])|[,;]?\s+(?:and then|then|and also|und dann|et puis)\s+"
    r"|,?\s+(?:and|und|et)\s+(?=[a-zà-ÿ]+(?:e|en|er)?\s+(?:this|the|it|me|mir|die|den|das|le|la)\b)",
    re.IGNORECASE,
)
_ARITHMETIC: Final = re.compile(
    r"(?:[-+(\s]|(?:sqrt|abs|round|min|max|ln|log10|sin|cos|tan|exp|floor|ceil)\s*\()*"
    r"\d[\d\s.,+*/%^()-]*"
)
_OPERATOR: Final = re.compile(r"\d\s*\)*\s*(?:\*\*|//|[-+*/%^])\s*[-(]*\s*\d|[a-z]\s*\(")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)")
_URL: Final = re.compile(r"https?://[^\s<>\"”]+")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_AFTER: Final = re.compile(
    r"\b(?:for|in|of|to|about|at|from|on|für|über|von|nach|pour|sur|de|à)\s+"
    r"((?:the\s+)?[\w'’-]+(?:\s+[A-ZÀ-Ý][\w'’-]*)*)"
)
_CAPITALISED: Final = re.compile(r"(?<=[\w,] )[A-ZÀ-Ý][\w'’-]*(?:\s+[A-ZÀ-Ý][\w'’-]*)*")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is asked for: its words, and the values in it by their kind.

    `body` is a text that came with the request (quoted, or after a colon); `words` is the request
    without it, so that a text about the weather doesn't ask for the weather.
    """

    words: str
    body: str | None
    arithmetic: tuple[str, ...]
    numbers: tuple[float, ...]
    urls: tuple[str, ...]
    emails: tuple[str, ...]
    names: tuple[str, ...]


def read_parts(question: str) -> list[Part]:
    """What a question asks for, one after the other."""
    head, body = _split_body(question.strip())
    texts = [text for text in _pieces(head) if text]
    parts = [_part(text, None) for text in texts[:PARTS_MAX]]
    if body and parts:
        parts[-1] = _part(texts[len(parts) - 1], body)
    return parts


def _split_body(question: str) -> tuple[str, str | None]:
    """The request and the text that it is about: what stands in quotes, or after a colon."""
    longest = max(_QUOTED.finditer(question), key=lambda m: len(m[1]), default=None)
    if longest and len(longest[1].split()) >= 2:
        return f"{question[: longest.start()]} {question[longest.end() :]}".strip(), longest[
            1
        ].strip()
    head, colon, rest = question.partition(": ")
    if not colon:
        head, colon, rest = question.partition(":\n")
    if colon and len(rest.split()) >= 3 and len(head.split()) <= 40:
        return head.strip(), rest.strip()
    return question, None


def _pieces(text: str) -> list[str]:
    return [piece.strip(" ,;:.") for piece in _JOINT.split(text)]


def _part(text: str, body: str | None) -> Part:
    return Part(
        words=text,
        body=body,
        arithmetic=tuple(_expressions(text)),
        numbers=tuple(float(found) for found in _NUMBER.findall(text)),
        urls=tuple(url.rstrip(".,;:!?)") for url in _URL.findall(text)),
        emails=tuple(_EMAIL.findall(text)),
        names=tuple(dict.fromkeys([*_CAPITALISED.findall(text), *_AFTER.findall(text)])),
    )


def _expressions(text: str) -> list[str]:
    """Stretches of the text that are arithmetic: numbers with something between them."""
    found = []
    for match in _ARITHMETIC.finditer(text):
        expression = match[0].strip().rstrip(".,?+-*/%^( ")
        expression = _balanced(expression)
        if _OPERATOR.search(expression):
            found.append(expression)
    return found


def _balanced(text: str) -> str:
    """Without closing parentheses that none opened."""
    while text.count(")") > text.count("(") and text.endswith(")"):
        text = text[:-1].rstrip()
    return text
