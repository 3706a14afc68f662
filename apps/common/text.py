"""Short names: on one line, as slugs that people read and type in addresses, and as initials."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import count
from typing import Final

from django.utils.text import slugify

SLUG_MAX: Final = 40
_UNREAD: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING: Final = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def is_one_line(text: str) -> bool:
    """Whether a name reads as it is written: no line's end, no control character, and none that
    turns the direction of what stands beside it (Unicode TR 36 §2.5).
    """
    return not any(unicodedata.category(c) in _UNREAD or c in _TURNING for c in text)


def is_slug(text: str) -> bool:
    """Whether the text can stand in a host name: one DNS label (RFC 1123 §2.1) of 40 at most."""
    return _SLUG.fullmatch(text) is not None


def make_slug(text: str, *, fallback: str) -> str:
    """Turn a name into a slug; a name without one Latin letter or digit becomes the fallback."""
    return slugify(text).replace("_", "-")[:SLUG_MAX].strip("-") or fallback


def free_slug(slug: str, *, is_taken: Callable[[str], bool]) -> str:
    """Append the first number that makes the slug free: acme, acme-2, acme-3.

    Only a suggestion: between asking and inserting someone else may take it, so the unique
    constraint decides and the caller asks again.
    """
    numbered = (f"{slug[: SLUG_MAX - len(f'-{n}')].rstrip('-')}-{n}" for n in count(2))
    return slug if not is_taken(slug) else next(s for s in numbered if not is_taken(s))


def initials(name: str) -> str:
    """At most two letters that stand for a person."""
    words = [word for word in name.replace("@", " ").split() if word[:1].isalpha()]
    return "".join(word[0] for word in words[:2]).upper() or "?"
