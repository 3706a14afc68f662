"""Chooses the sentences of a text that say most of what the whole says.

Sentences are ranked by centrality (LexRank: Erkan and Radev 2004): each is a vector of its words
weighed by how telling they are in this text, similar ones vouch for each other, and the place of a
sentence counts for nothing. No word list is needed: a word that most sentences have weighs nothing
in any language.
"""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections import Counter
from typing import Final

from apps.agents.runtimes.base import CallContext, Invocation
from apps.agents.runtimes.builtin.skill import Skill, one_tool
from apps.common.json import Object

TEXT_MAX: Final = 100_000
SENTENCES: Final = 3
COMPARED_MAX: Final = 200
"""How many sentences vouch for each other; of a longer text those with the most telling words."""
ABBREVIATION_MAX: Final = 12
_DAMPING: Final = 0.85
_ROUNDS: Final = 30
_WORD: Final = re.compile(r"\w+")
_END: Final = re.compile(
    r"(?<![.!?…؟۔।॥])[.!?…؟۔।॥]++[\"'”’»)\]]*+(?=\s)|[。！？]++[」』”]*+|\n\s*\n"
)
"""Every run of marks is read once: a text of nothing but dots costs no more than another."""
_ABBREVIATED: Final = re.compile(
    r"(?:^|[\s(])(?:[A-Za-zÀ-ÿ]|\d{1,2}|Mr|Mrs|Ms|Dr|Prof|St|Nr|No|vs|etc|ca|bzw|usw|vgl|Bd|Abs|Art|Mme|Mlle"
    r"|p\. ?ex|z\. ?B|d\. ?h|u\. ?a|e\.g|i\.e|cf|env|av|Jan|Feb|Aug|Sept|Okt|Oct|Nov|Dez|Dec)\.$"
)

Vector = dict[str, float]

SPEC: Final = one_tool(
    "summarizer",
    "Summarizes a text: gives its most telling sentences, in their order.",
    {
        "text": {
            "type": "string",
            "description": "The text to summarize.",
            "minLength": 1,
            "maxLength": TEXT_MAX,
            "examples": ["A long text of several sentences. It says a lot. This is its end."],
        },
        "sentences": {
            "type": "integer",
            "description": "How many sentences at most.",
            "minimum": 1,
            "maximum": 10,
            "default": SENTENCES,
        },
    },
    {"summary": {"type": "string"}},
    required=["text"],
)


def run(invocation: Invocation, ctx: CallContext) -> Object:
    wanted = invocation.input.get("sentences", SENTENCES)
    return {"summary": summarize(invocation.input["text"], sentences=int(wanted))}


def summarize(text: str, *, sentences: int = SENTENCES) -> str:
    """The `sentences` most central sentences in the order of the text; a shorter text as it is."""
    parts = split_sentences(text)
    if len(parts) <= sentences:
        return " ".join(parts)
    best = sorted(range(len(parts)), key=_ranking(parts).__getitem__, reverse=True)[:sentences]
    return " ".join(parts[place] for place in sorted(best))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space around them.

    A mark ends one only where no small letter follows, and not after an initial, a day's number
    or a common abbreviation; a blank line always does.
    """
    found, begin = [], 0
    for match in _END.finditer(text):
        before = text[max(begin, match.end() - ABBREVIATION_MAX) : match.end()]
        if not _goes_on(before, text[match.end() : match.end() + 40]):
            found.append(text[begin : match.end()])
            begin = match.end()
    found.append(text[begin:])
    return [sentence for part in found if (sentence := " ".join(part.split()))]


def _goes_on(before: str, after: str) -> bool:
    """Whether a mark that could end a sentence stands within one."""
    if before.endswith("\n"):
        return False
    following = after.lstrip().lstrip("\"'“‘«(„»")[:1]
    return following.islower() or bool(_ABBREVIATED.search(before))


def _ranking(sentences: list[str]) -> list[float]:
    """How central each sentence is; those that aren't compared rank last."""
    vectors = _vectors(sentences)
    weights = [sum(vector.values()) for vector in vectors]
    chosen = sorted(range(len(vectors)), key=weights.__getitem__, reverse=True)[:COMPARED_MAX]
    ranks = dict(zip(chosen, _central([vectors[place] for place in chosen]), strict=True))
    return [ranks.get(place, 0.0) for place in range(len(sentences))]


def _vectors(sentences: list[str]) -> list[Vector]:
    """Each sentence's words by their weight: how often here, and in how few of all sentences."""
    counted = [Counter(_words(sentence)) for sentence in sentences]
    spread = Counter(word for words in counted for word in words)
    total = len(sentences)
    return [
        {word: n * math.log((1 + total) / (0.5 + spread[word])) for word, n in words.items()}
        for words in counted
    ]


def _words(sentence: str) -> list[str]:
    """Words in one spelling, cut to their stem's length; a script without spaces by pairs."""
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    found: list[str] = []
    for word in _WORD.findall(folded):
        if ord(word[0]) >= 0x2E80:
            found += [word[n : n + 2] for n in range(max(1, len(word) - 1))]
        elif len(word) > 2 or word.isdigit():
            found.append(word[:6])
    return found


def _central(vectors: list[Vector]) -> list[float]:
    """PageRank over the similarity of sentences (power iteration)."""
    count = len(vectors)
    norms = [math.sqrt(sum(w * w for w in vector.values())) or 1.0 for vector in vectors]
    rows = [[0.0] * count for _ in range(count)]
    for a in range(count):
        for b in range(a):
            rows[a][b] = rows[b][a] = _cosine(vectors, norms, a, b)
    sums = [sum(row) or 1.0 for row in rows]
    ranks = [1.0 / count] * count
    for _ in range(_ROUNDS):
        given = [rank / total for rank, total in zip(ranks, sums, strict=True)]
        ranks = [
            (1 - _DAMPING) / count + _DAMPING * sum(map(operator.mul, given, row)) for row in rows
        ]
    return ranks


def _cosine(vectors: list[Vector], norms: list[float], a: int, b: int) -> float:
    """How alike two sentences are, from 0 to 1; the shorter one is walked."""
    small, large = sorted((vectors[a], vectors[b]), key=len)
    dot = sum(weight * large[word] for word, weight in small.items() if word in large)
    return dot / (norms[a] * norms[b])


SKILL: Final = Skill("summarizer", lambda config: SPEC, run)
