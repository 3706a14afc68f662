"""What JSON can be kept: where it can't, what comes nearest, and that it is read back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.common.errors import Invalid
from apps.common.json import (
    MAX_DEPTH,
    MAX_INTEGER,
    JsonDecoder,
    as_kept,
    find_flaw,
    kept_text,
    read_typed,
)
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid


def nested(depth: int) -> Any:
    return [] if depth == 1 else [nested(depth - 1)]


KEPT: list[Any] = [
    {"a": [1, 1.5, None, True, "größe \U0001f600"], "": {}},
    MAX_INTEGER,
    -MAX_INTEGER,
    1e300,
    nested(MAX_DEPTH),
]
WITH_NUL: list[Any] = [{"a": [{"b": "x\0y"}]}, {"a\0": 1}]
FLAWS: list[tuple[Any, str]] = [
    (WITH_NUL[0], "input.a.0.b"),
    ({"a": "\ud800"}, "input.a"),
    (WITH_NUL[1], "input.a\ufffd"),
    ({1: 2}, "input.1"),
    ({"n": float("nan")}, "input.n"),
    ({"n": float("-inf")}, "input.n"),
    ({"n": MAX_INTEGER + 1}, "input.n"),
    ({"n": -(10**400)}, "input.n"),
    ({"n": b"bytes"}, "input.n"),
    ({"n": {1, 2}}, "input.n"),
    (nested(MAX_DEPTH + 1), "input" + ".0" * MAX_DEPTH),
]


@pytest.mark.parametrize("value", KEPT)
def test_what_can_be_kept_has_no_flaw_and_a_canonical_form(value: Any) -> None:
    assert find_flaw(value, root="input") is None
    assert dumps(value)
    assert as_kept(value) == value


@pytest.mark.parametrize(("value", "field"), FLAWS, ids=[field for _, field in FLAWS])
def test_a_flaw_is_named_at_its_place(value: Any, field: str) -> None:
    flaw = find_flaw(value, root="input")
    assert flaw is not None and flaw["field"] == field
    assert find_flaw(as_kept(value), root="input") is None


@pytest.mark.parametrize("value", [value for value, _ in FLAWS if value not in WITH_NUL])
def test_what_has_no_canonical_form_is_a_flaw(value: Any) -> None:
    with pytest.raises((JsonInvalid, TypeError)):
        dumps(value)


@pytest.mark.parametrize("value", WITH_NUL)
def test_nul_has_a_canonical_form_and_still_no_place(value: Any) -> None:
    assert dumps(value) and find_flaw(value, root="")


def test_text_that_cannot_be_kept_shows_where() -> None:
    assert kept_text("a\0b\udc00c") == "a\ufffdb\ufffdc"
    assert as_kept({"n": [float("inf"), 2**60, "\0", {3}]}) == {
        "n": ["inf", hex(2**60), "\ufffd", "{3}"]
    }
    assert as_kept(10**5000) == hex(10**5000)  # Python writes no number of so many digits


def test_what_postgres_writes_as_an_integer_is_read_as_the_double_that_it_was() -> None:
    text = "[100000000000000000000, 9007199254740991, -9007199254740992, 1.5, 7]"
    assert json.loads(text, cls=JsonDecoder) == [1e20, MAX_INTEGER, -(2.0**53), 1.5, 7]
    kinds = [type(item) for item in json.loads(text, cls=JsonDecoder)]
    assert kinds == [float, int, float, float, int]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "This is no JSON: Expecting property name"),
        ('{"a": NaN}', "This can't be held as JSON."),
        ('{"a": 1, "a": 2}', "This can't be held as JSON."),
        ("[" * 100_000, "This can't be held as JSON."),
        ('{"a": "\\u0000"}', "This can't be held as JSON: a: A text can't hold NUL"),
        ('{"a": 1e400}', "This can't be held as JSON: a: A number is finite"),
        ('{"a": 9007199254740993}', "This can't be held as JSON: a: A number is finite"),
    ],
)
def test_typed_text_that_will_not_do_says_why(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_typed(text)
    assert refused.value.detail.startswith(told)


def test_typed_text_is_read() -> None:
    assert read_typed(' {"a": [1, "\\u00e9"]} ') == {"a": [1, "é"]}
