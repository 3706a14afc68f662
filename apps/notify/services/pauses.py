"""How long to wait before a further try: ever longer, and not for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

PATIENCE: Final = timedelta(seconds=20)
"""How long a job gets to begin before the sweeper wakes another."""
AFTER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480))
MOST_TRIES: Final = len(AFTER) + 1


def after_try(tries: int) -> timedelta:
    """The pause after so many tries, the last of them included."""
    return AFTER[min(max(tries, 1), len(AFTER)) - 1]
