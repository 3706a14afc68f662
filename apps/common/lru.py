"""A cache that is bounded by what its values weigh and not by how many there are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class WeighedCache(Generic[K, V]):
    """Keeps what was used last, up to `limit` in all; a value heavier than that isn't kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K, make: Callable[[K], tuple[V, int]]) -> V:
        """The value of a key; `make` gives it and its weight, at times to two who ask at once."""
        if (found := self.find(key)) is not None:
            return found
        value, weight = make(key)
        self.put(key, value, weight)
        return value

    def find(self, key: K) -> V | None:
        """The value of a key if it is kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value in the place of whatever its key had."""
        with self._lock:
            self.weight -= self._kept.pop(key, (None, 0))[1]
            self._kept[key] = value, weight
            self.weight += weight
            while self.weight > self.limit:
                self.weight -= self._kept.popitem(last=False)[1][1]
