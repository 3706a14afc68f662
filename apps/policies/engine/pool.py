"""Which child evaluates for whom: one evaluation has a child for itself, and spare ones are warm.

However slow an org's texts are, others find a child: an org holds at most half of them at once, and
the last idle one goes only to an org that has none and lost none lately. Children are started
beside the requests; whoever comes before the first has started waits for it, later ones wait no
longer than their own deadline.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from apps.policies.engine.process import START_SECONDS, Child, ChildFailure

T = TypeVar("T")

SPARE: Final = 2
LATELY: Final = 10.0
"""Seconds for which an org whose work ended with its child leaves the last idle one to others."""
PAUSE: Final = 1.0
"""Seconds before another child is started where one couldn't be."""


class NoChildError(Exception):
    """No child was to be had in time."""


class Pool:
    """Up to `size` children of this process, for all its threads."""

    def __init__(self, size: int, start: Callable[[], Child] = Child) -> None:
        self._size, self._start = size, start
        self._share = max(1, size // 2)
        self._turn = threading.Condition()
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._held: Counter[Hashable] = Counter()
        self._lost_until: dict[Hashable, float] = {}
        self._is_starting = self._has_started = False
        self._first_asked_at = self._rests_until = 0.0

    def use(self, holder: Hashable, work: Callable[[Child, float], T], *, seconds: float) -> T:
        """Have a child to oneself for `work`, which must be done by the time that it is given.

        Raises NoChildError, or the ChildFailure of the work; such a child is replaced.
        """
        until = time.monotonic() + seconds
        child = self._take(holder, until)
        is_done = False
        try:
            if time.monotonic() > until:  # only who waited for the very first child gets there
                until = time.monotonic() + seconds
            result = work(child, until)
            is_done = True
            return result
        finally:
            self._give_back(holder, child, is_done=is_done)

    def close(self) -> None:
        """End all children; who is at work with one is told that it was killed."""
        with self._turn:
            children, self._children, self._idle = self._children, set(), []
        for child in children:
            child.kill()

    def forget(self) -> None:
        """Let go of the children in a forked process: they are the parent's, as its locks were."""
        for child in self._children:
            child.forget()

    def _take(self, holder: Hashable, until: float) -> Child:
        with self._turn:
            self._first_asked_at = self._first_asked_at or time.monotonic()
            while True:
                child = self._pop_usable(holder)
                self._keep_spares()
                if child is not None:
                    self._held[holder] += 1
                    return child
                self._wait(until)

    def _wait(self, until: float) -> None:
        """Until something has changed; raises NoChildError where nothing will, or not in time."""
        if not self._has_started:
            until = max(until, self._first_asked_at + START_SECONDS)
        left = until - time.monotonic()
        if left <= 0 or not (self._children or self._is_starting) or not self._turn.wait(left):
            raise NoChildError

    def _give_back(self, holder: Hashable, child: Child, *, is_done: bool) -> None:
        is_kept = is_done and child.is_usable
        if not is_kept:
            child.kill()
        with self._turn:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
            if is_kept and child in self._children:
                self._idle.append(child)
            else:
                self._children.discard(child)
                self._lost_until[holder] = time.monotonic() + LATELY
                self._keep_spares()
            self._turn.notify_all()

    def _pop_usable(self, holder: Hashable) -> Child | None:
        """The child that was used last, which has most in its caches, if the holder may have it."""
        self._bury_the_dead()
        if self._held[holder] >= self._share or not self._idle:
            return None
        if len(self._idle) == 1 and (self._held[holder] or self._has_lost(holder)):
            return None
        return self._idle.pop()

    def _bury_the_dead(self) -> None:
        for child in [child for child in self._idle if not child.is_usable]:
            child.kill()
            self._idle.remove(child)
            self._children.discard(child)

    def _has_lost(self, holder: Hashable) -> bool:
        """Whether its work ended with a child lately."""
        until = self._lost_until.get(holder)
        if until is not None and until <= time.monotonic():
            del self._lost_until[holder]
            return False
        return until is not None

    def _keep_spares(self) -> None:
        """Start a child beside the requests if few are idle and there may be more."""
        is_full = self._is_starting or len(self._children) >= self._size
        if not is_full and len(self._idle) < SPARE and time.monotonic() >= self._rests_until:
            self._is_starting = True
            threading.Thread(target=self._start_one, name="policy-child", daemon=True).start()

    def _start_one(self) -> None:
        child = self._try_start()
        with self._turn:
            self._is_starting = False
            if child is None:
                self._rests_until = time.monotonic() + PAUSE
            else:
                self._has_started = True
                self._children.add(child)
                self._idle.append(child)
                self._keep_spares()
            self._turn.notify_all()

    def _try_start(self) -> Child | None:
        child = None
        try:
            child = self._start()
            child.greet()
        except (OSError, ChildFailure):
            if child is not None:
                child.kill()
            return None
        return child
