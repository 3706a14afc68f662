"""A cache that holds what it may weigh."""

from __future__ import annotations

from apps.common.lru import WeighedCache


def test_what_was_used_longest_ago_makes_room() -> None:
    made: list[str] = []

    def make(key: str) -> tuple[str, int]:
        made.append(key)
        return key.upper(), len(key)

    cache = WeighedCache[str, str](10)
    assert [cache.get(key, make) for key in ("aaaa", "bbbb", "aaaa")] == ["AAAA", "BBBB", "AAAA"]
    assert made == ["aaaa", "bbbb"]

    assert cache.get("cccc", make) == "CCCC"
    assert (len(cache), cache.weight) == (2, 8)
    assert cache.get("aaaa", make) == "AAAA" and made == ["aaaa", "bbbb", "cccc"]
    assert cache.get("bbbb", make) == "BBBB" and made[-1] == "bbbb"


def test_what_is_too_heavy_is_given_and_not_kept() -> None:
    cache = WeighedCache[str, str](10)
    assert cache.get("a", lambda key: (key, 11)) == "a"
    assert (len(cache), cache.weight) == (0, 0)
