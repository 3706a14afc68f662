"""What ran into the deadline is put aside for a while, longer each time it does so again.

An endless text costs one deadline of one core, then one in the next seconds, then one a minute.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 60.0
NEW_TEXTS: Final = 5
"""Endless new texts of an org before its other new texts are put aside with them."""
REMEMBERED: Final = 10_000


class Strikes:
    """Of one process, by key. The first `free` have no effect; from then on each doubles the pause,
    to a minute. A quiet minute forgives all.
    """

    def __init__(self, clock: Callable[[], float], *, free: int = 0) -> None:
        self._clock, self._free = clock, free
        self._lock = threading.Lock()
        self._struck: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def strike(self, key: Hashable) -> None:
        now = self._clock()
        with self._lock:
            count, until = self._struck.pop(key, (0, now))
            count = count + 1 if now < until + MOST_SECONDS else 1
            self._struck[key] = count, now + self._pause(count)
            _shorten(self._struck)

    def is_aside(self, key: Hashable) -> bool:
        struck = self._struck.get(key)
        return struck is not None and self._clock() < struck[1]

    def _pause(self, count: int) -> float:
        doubled = min(count - self._free - 1, 10)
        return min(FIRST_SECONDS * 2**doubled, MOST_SECONDS) if doubled >= 0 else 0.0


class Standing:
    """How far the texts of each org are trusted to come to an end.

    A text that ran into the deadline is put aside, for that org. So that nobody gets around it by
    writing another one each time, all its texts that have never answered are too after some such;
    those that have go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._texts, self._orgs = Strikes(clock), Strikes(clock, free=NEW_TEXTS)
        self._answered: OrderedDict[str, None] = OrderedDict()

    def is_aside(self, org: Hashable, digest: str) -> bool:
        is_new = digest not in self._answered
        return self.is_to_blame(org, digest) or (is_new and self._orgs.is_aside(org))

    def is_to_blame(self, org: Hashable, digest: str) -> bool:
        """Whether it is aside for what it did itself, and not only with the org's others."""
        return self._texts.is_aside((org, digest))

    def failed(self, org: Hashable, digest: str) -> None:
        """The text ran out of time or memory."""
        self._texts.strike((org, digest))
        if digest not in self._answered:
            self._orgs.strike(org)

    def answered(self, digest: str) -> None:
        if digest not in self._answered:
            self._answered[digest] = None
            _shorten(self._answered)


def _shorten(remembered: OrderedDict[K, V]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
