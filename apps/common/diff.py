"""What changed between two texts: lines side by side, marks within them, long sameness folded.

Pure: it knows of no page. Long texts are cut down to what differs first, and what is still too
long to be matched line by line is told as taken out and put in, which is true and merely longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, zip_longest
from typing import Final, Literal

Kind = Literal["same", "changed", "removed", "added"]

CONTEXT: Final = 3
"""Lines that are shown around each change."""
MATCHED_MAX: Final = 4_000
"""Lines of one side beyond which the middle isn't matched: its cost grows with their square."""
MARKED_MAX: Final = 2_000
"""Characters of a line beyond which it is changed as a whole."""
EFFORT: Final = 1_000_000
"""What marks within lines may cost in all, a quarter of a second: words of one side times words of
the other, for each pair of lines. Beyond it lines are changed as a whole, however alike.
"""
ALIKE: Final = 0.4
"""How alike two lines are, 0 to 1, from which on one is the other, changed."""

_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line, and whether the other side has it differently."""

    text: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of one side; numbers begin at 1."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Row:
    """What stands beside each other; a side without a line there has None."""

    kind: Kind
    old: Line | None
    new: Line | None


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are all the same on both sides, or all differ; `is_folded` hides what is long."""

    rows: tuple[Row, ...]
    is_same: bool
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Diff:
    """All of it, in order, and how many lines were taken out and put in."""

    blocks: tuple[Block, ...]
    removed: int
    added: int

    @property
    def is_empty(self) -> bool:
        """Whether the two are the same."""
        return not (self.removed or self.added)


@dataclass(slots=True)
class _Effort:
    """What is left of the work that one comparison may take."""

    left: int = EFFORT

    def covers(self, old: list[str], new: list[str]) -> bool:
        """Whether these words may still be matched; if so, it is spent."""
        cost = len(old) * len(new)
        if cost > self.left:
            return False
        self.left -= cost
        return True


def compare(old: str, new: str, *, context: int = CONTEXT) -> Diff:
    """Line up two texts. Unchanged lines further than `context` from a change are folded."""
    rows = list(_rows(old.splitlines(), new.splitlines()))
    return Diff(
        blocks=tuple(_blocks(rows, context)),
        removed=sum(row.old is not None for row in rows if row.kind != "same"),
        added=sum(row.new is not None for row in rows if row.kind != "same"),
    )


def _rows(old: list[str], new: list[str]) -> Iterator[Row]:
    effort = _Effort()
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    ends = len(old) - tail, len(new) - tail
    yield from _same(old, 0, 0, head)
    for tag, i, j, k, m in _opcodes(old[head : ends[0]], new[head : ends[1]]):
        if tag == "equal":
            yield from _same(old, head + i, head + k, j - i)
        else:
            lines = old[head + i : head + j], new[head + k : head + m]
            yield from _changed(*lines, head + i, head + k, effort)
    yield from _same(old, *ends, tail)


def _shared(one: list[str], other: list[str]) -> int:
    """How many lines both begin with."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _opcodes(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    if max(len(old), len(new)) > MATCHED_MAX:
        return [("replace", 0, len(old), 0, len(new))]
    return SequenceMatcher(None, old, new).get_opcodes()  # type: ignore[return-value]


def _same(lines: list[str], at_old: int, at_new: int, count: int) -> Iterator[Row]:
    for n in range(count):
        piece = (Piece(lines[at_old + n]),)
        yield Row("same", Line(at_old + n + 1, piece), Line(at_new + n + 1, piece))


def _changed(
    old: list[str], new: list[str], at_old: int, at_new: int, effort: _Effort
) -> Iterator[Row]:
    """Lines in the place of others: those that are alike beside each other, with marks."""
    for n, (was, now) in enumerate(zip_longest(old, new)):
        marked = _marked(was, now, effort) if was is not None and now is not None else None
        if marked:
            old_pieces, new_pieces = marked
            yield Row("changed", Line(at_old + n + 1, old_pieces), Line(at_new + n + 1, new_pieces))
            continue
        left = None if was is None else Line(at_old + n + 1, (Piece(was),))
        right = None if now is None else Line(at_new + n + 1, (Piece(now),))
        yield Row(
            "removed" if right is None else "added" if left is None else "changed", left, right
        )


def _marked(
    was: str, now: str, effort: _Effort
) -> tuple[tuple[Piece, ...], tuple[Piece, ...]] | None:
    """Both lines with what differs marked; None if they have too little in common."""
    if max(len(was), len(now)) > MARKED_MAX:
        return None
    old, new = _WORDS.findall(was), _WORDS.findall(now)
    if not effort.covers(old, new):
        return None
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < ALIKE:
        return None
    left: list[Piece] = []
    right: list[Piece] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        left += _piece(old[i:j], tag)
        right += _piece(new[k:m], tag)
    return tuple(left), tuple(right)


def _piece(words: list[str], tag: str) -> list[Piece]:
    return [Piece("".join(words), tag != "equal")] if words else []


def _blocks(rows: list[Row], context: int) -> Iterator[Block]:
    """Group the rows, and fold of each unchanged stretch what is far from every change."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.kind == "same")]
    for at, group in enumerate(groups):
        if group[0].kind != "same":
            yield Block(tuple(group), is_same=False)
            continue
        above = context if at else 0
        below = context if at < len(groups) - 1 else 0
        yield from _folded(group, above, below)


def _folded(rows: list[Row], above: int, below: int) -> Iterator[Block]:
    """One unchanged stretch; a fold that would hide a single line is none."""
    end = len(rows) - below
    if end - above <= 1:
        yield Block(tuple(rows), is_same=True)
        return
    for part, is_folded in ((rows[:above], False), (rows[above:end], True), (rows[end:], False)):
        if part:
            yield Block(tuple(part), is_same=True, is_folded=is_folded)
