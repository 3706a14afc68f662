"""What a name may be made of."""

from __future__ import annotations

import pytest

from apps.common.text import is_one_line


@pytest.mark.parametrize(
    "name", ["Zoë O’Neill", "محمد", "می\u200cخواهم", "山田 太郎", "👩‍🔬", "Acme & Söhne (1999)", ""]
)
def test_names_of_the_world_are_names(name: str) -> None:
    assert is_one_line(name)


@pytest.mark.parametrize(
    "char",
    ["\n", "\r", "\t", "\0", "\x1b", "\x85", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066"],
)
def test_what_ends_or_turns_a_line_is_not_in_one(char: str) -> None:
    assert not is_one_line(f"Ada{char}Osei")
