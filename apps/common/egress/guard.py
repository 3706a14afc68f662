"""Keeps one host from being called too often, or at all while it is down.

Counts are kept per (scope, host). The scope is the org that asks: with counts in common, one org
could use up another's rate, or open the breaker for a host that others depend on.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from pybreaker import (
    STATE_CLOSED,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerError,
    CircuitMemoryStorage,
)

from apps.common.egress.errors import EgressSuspended, EgressThrottled
from apps.common.egress.policy import EgressPolicy

MAX_BREAKERS = 10_000


class _HostDown(Exception):
    """What a breaker is told; it never leaves this module."""


class HostBreaker:
    """A pybreaker that is asked before and told after, instead of wrapping the call.

    `CircuitBreaker.call` holds its lock while the call runs, which would put all requests to one
    host in single file. While open, one request per period goes through as a probe; if its
    process dies, the next period sends another, so nothing can stay half-open for ever.
    """

    def __init__(self, *, failures: int, seconds: float) -> None:
        self._lock = threading.Lock()
        self._period = timedelta(seconds=seconds)
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self._breaker = CircuitBreaker(
            fail_max=failures, reset_timeout=seconds, state_storage=self._storage
        )

    def wait_seconds(self) -> int:
        """0 if a request may go now (an open breaker's probe included), else how long to wait."""
        with self._lock:
            if self._storage.state != STATE_OPEN or self._storage.opened_at is None:
                return 0
            left = self._storage.opened_at + self._period - datetime.now(UTC)
            if left > timedelta(0):
                return max(1, math.ceil(left.total_seconds()))
            self._storage.opened_at = datetime.now(UTC)
            return 0

    def succeeded(self) -> None:
        with self._lock:
            self._breaker.close()

    def failed(self) -> None:
        with self._lock:
            if self._storage.state == STATE_OPEN:
                self._breaker.open()
                return
            with suppress(CircuitBreakerError, _HostDown):
                self._breaker.call(self._raise)

    @staticmethod
    def _raise() -> None:
        raise _HostDown


class Guard:
    """The rate counters and breakers of one process. Only failing hosts have a breaker."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._rate: RateLimitItem = parse(policy.rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._breakers: OrderedDict[tuple[str, str], HostBreaker] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, scope: str, host: str) -> None:
        """Lets one request through, or raises EgressSuspended or EgressThrottled."""
        if not self._limiter.hit(self._rate, scope, host):
            reset = self._limiter.get_window_stats(self._rate, scope, host).reset_time
            wait = max(1, math.ceil(reset - time.time()))
            raise EgressThrottled(f"{host} was called too often.", retry_after=wait)
        breaker = self._breakers.get((scope, host))
        if breaker is not None and (wait := breaker.wait_seconds()):
            raise EgressSuspended(f"{host} keeps failing.", retry_after=wait)

    def succeeded(self, scope: str, host: str) -> None:
        with self._lock:
            breaker = self._breakers.pop((scope, host), None)
        if breaker is not None:
            breaker.succeeded()

    def failed(self, scope: str, host: str) -> None:
        with self._lock:
            breaker = self._breakers.setdefault((scope, host), self._new_breaker())
            self._breakers.move_to_end((scope, host))
            if len(self._breakers) > MAX_BREAKERS:
                self._breakers.popitem(last=False)
        breaker.failed()

    def _new_breaker(self) -> HostBreaker:
        policy = self._policy
        return HostBreaker(failures=policy.breaker_failures, seconds=policy.breaker_seconds)
