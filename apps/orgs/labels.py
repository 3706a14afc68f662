"""Labels: short names that people give to projects (tags) and to members (groups), for policies to
go by.
"""

from __future__ import annotations

from typing import Final

from apps.common.errors import Invalid

MOST: Final = 20
LONGEST: Final = 40


def check_labels(labels: list[str], *, field: str) -> list[str]:
    """Trimmed, each once, in the order given; raises Invalid, naming the field."""
    kept = list(dict.fromkeys(label.strip() for label in labels))
    if len(kept) > MOST or any(not 1 <= len(label) <= LONGEST for label in kept):
        raise Invalid.of(field, f"Use at most {MOST} {field} of 1 to {LONGEST} characters.")
    return kept
