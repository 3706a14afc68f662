"""Two texts lined up: which line stands beside which, what is marked, what is folded."""

from __future__ import annotations

import pytest

from apps.common import diff
from apps.common.diff import Block, Row, compare


def rows_of(old: str, new: str) -> list[Row]:
    return [row for block in compare(old, new).blocks for row in block.rows]


def sides(row: Row) -> tuple[str, str | None, str | None]:
    old, new = (line.text if line else None for line in (row.old, row.new))
    return row.kind, old, new


def marked(row: Row, side: str) -> str:
    line = getattr(row, side)
    return "".join(f"[{p.text}]" if p.is_changed else p.text for p in line.pieces)


@pytest.mark.parametrize("text", ["", "a", "a\nb\nc"])
def test_the_same_text_has_no_change(text: str) -> None:
    found = compare(text, text)
    assert found.is_empty and (found.removed, found.added) == (0, 0)
    assert all(block.is_same for block in found.blocks)


def test_lines_stand_beside_each_other_with_their_own_numbers() -> None:
    rows = rows_of("a\nb\nc", "a\nx y\nnew\nc")
    assert [sides(row) for row in rows] == [
        ("same", "a", "a"),
        ("changed", "b", "x y"),
        ("added", None, "new"),
        ("same", "c", "c"),
    ]
    last = rows[-1]
    assert last.old and last.new and (last.old.number, last.new.number) == (3, 4)


def test_what_was_taken_out_and_put_in_is_counted() -> None:
    found = compare("a\nb\nc\nd", "a\nd\ne")
    assert (found.removed, found.added) == (2, 1)
    assert [row.kind for block in found.blocks for row in block.rows] == [
        "same",
        "removed",
        "removed",
        "same",
        "added",
    ]


def test_only_the_words_that_differ_are_marked() -> None:
    row = rows_of('"timeout": 30,', '"timeout": 60,')[0]
    assert (marked(row, "old"), marked(row, "new")) == ('"timeout": [30],', '"timeout": [60],')


def test_lines_with_nothing_in_common_are_not_marked_within() -> None:
    row = rows_of("entirely", "different words here")[0]
    assert (row.kind, marked(row, "old")) == ("changed", "entirely")
    assert marked(row, "new") == "different words here"


def test_a_line_that_is_very_long_is_changed_as_a_whole() -> None:
    long = "word " * diff.MARKED_MAX
    row = rows_of(long + "a", long + "b")[0]
    assert row.kind == "changed" and marked(row, "new") == long + "b"


def shape(blocks: tuple[Block, ...]) -> list[tuple[int, bool, bool]]:
    return [(len(block.rows), block.is_same, block.is_folded) for block in blocks]


def test_marks_take_no_more_work_than_a_page_may_wait_for() -> None:
    """Alternating marks are the dearest to match: forty such lines took forty seconds."""
    old, new = (
        "\n".join([".," * 400] * 40 + ["limit: 1"]),
        "\n".join([",." * 400] * 40 + ["limit: 2"]),
    )
    rows = rows_of(old, new)
    assert len(rows) == 41 and {row.kind for row in rows} == {"changed"}
    within = [row for row in rows if len(row.new.pieces) > 1]
    assert [row.new.number for row in within] == [1, 41]
    assert 800 * 800 + 3 * 3 <= diff.EFFORT < 2 * 800 * 800
    assert marked(rows[-1], "new") == "limit: [2]"


def test_what_is_far_from_a_change_is_folded() -> None:
    before = [f"line {n}" for n in range(30)]
    after = [*before[:15], "changed", *before[16:]]
    found = compare("\n".join(before), "\n".join(after))
    assert shape(found.blocks) == [
        (12, True, True),
        (3, True, False),
        (1, False, False),
        (3, True, False),
        (11, True, True),
    ]
    assert [row for block in found.blocks for row in block.rows] == rows_of(
        "\n".join(before), "\n".join(after)
    )


def test_a_single_line_is_never_folded() -> None:
    old, new = "a\n1\n2\n3\n4\n5\n6\n7\nb", "x\n1\n2\n3\n4\n5\n6\n7\ny"
    assert shape(compare(old, new).blocks) == [
        (1, False, False),
        (7, True, False),
        (1, False, False),
    ]


def test_a_text_that_is_too_long_to_match_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = "s\na\nb\nc\ne", "s\nb\nc\na\ne"
    matched = rows_of(old, new)
    monkeypatch.setattr(diff, "MATCHED_MAX", 2)
    unmatched = rows_of(old, new)
    assert [row.kind for row in matched] == ["same", "removed", "same", "same", "added", "same"]
    assert [row.kind for row in unmatched] == ["same", "changed", "changed", "changed", "same"]


@pytest.mark.parametrize(
    ("old", "new"), [("", "a\nb"), ("a\nb", ""), ("a\nb\nc", "c\nb\na"), ("x\n" * 50, "y\nx\n" * 9)]
)
def test_each_side_reads_as_its_text(old: str, new: str) -> None:
    rows = rows_of(old, new)
    assert [row.old.text for row in rows if row.old] == old.splitlines()
    assert [row.new.text for row in rows if row.new] == new.splitlines()
    for side in ("old", "new"):
        numbers = [getattr(row, side).number for row in rows if getattr(row, side)]
        assert numbers == list(range(1, len(numbers) + 1))
