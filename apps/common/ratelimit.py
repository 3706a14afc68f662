"""Rate limits in a sliding window, counted in Valkey, told in the IETF's headers.

The window slides by weighing the previous one: two counters a caller, whatever the quota, and no
burst of twice the quota at a window's edge. The scripts are those of `limits`; spending and
reading what is left go in one round trip. A caller who asks fast and is far from its limit has a
handful of requests counted at once, and the next ones are told from memory.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import limits
import redis
import structlog
from limits.storage import RedisStorage

from apps.common import metrics, valkey
from apps.common.lru import WeighedCache

log = structlog.get_logger(__name__)

_PAUSE_SECONDS: Final = 1.0
_HANDFUL: Final = 16
"""Requests that are counted at once at most; what is left must be many times that."""
_FAR: Final = 32
_FAST_SECONDS: Final = 0.25
"""How soon a caller has to come again for that, and how long a handful lasts."""
_CALLERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """How many requests in how many seconds; the name is what clients see."""

    name: str
    quota: int
    window: int

    @classmethod
    @lru_cache(maxsize=64)
    def parse(cls, name: str, rate: str) -> Policy:
        """Read "600/minute" or "20 per 10 seconds"; raises ValueError for anything else."""
        item = limits.parse(rate)
        return cls(name, item.amount, item.get_expiry())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request, and what is left; seconds are whole and rounded up."""

    policy: Policy
    allowed: bool
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10 §3, §4)."""
        name = f'"{self.policy.name}"'
        return {
            "RateLimit-Policy": f"{name};q={self.policy.quota};w={self.policy.window}",
            "RateLimit": f"{name};r={self.remaining};t={self.reset}",
        }


@dataclass(slots=True)
class Handful:
    """What a caller was told last, and the requests that were counted ahead for it."""

    verdict: Verdict
    left: int
    until: float


class Limiter:
    """Counts requests; while Valkey doesn't answer it lets everything through and says so.

    A limit protects the product from a busy client; refusing everyone because the counter is gone
    would do the harm that it should prevent. After a failure it doesn't ask again for a second, so
    that a hanging Valkey costs a wait a second and not one a request.

    No request passes that wasn't counted. What was counted ahead and not used is lost to its
    caller: at most a 32nd of what it had left.
    """

    def __init__(
        self, client: Callable[[], redis.Redis], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._clock = clock
        self._paused_until = -math.inf
        self._lock = threading.Lock()
        self._handfuls: WeighedCache[tuple[str, str], Handful] = WeighedCache(_CALLERS)

    def spend(self, policy: Policy, identity: str) -> Verdict | None:
        """Count one request of a caller; None if it could not be counted.

        `identity` must name the org too where a caller belongs to one: limits are per org.
        """
        now, caller = self._clock(), (policy.name, identity)
        last = self._handfuls.find(caller)
        if last is not None and (told := self._take(last, policy, now)):
            return told
        if now < self._paused_until:
            metrics.RATE_LIMIT_FAILURES.inc()
            return None
        try:
            verdict = self._ask_for(policy, caller, _handful(last, policy, now), now)
        except (redis.RedisError, OSError) as error:
            self._pause(error)
            return None
        if not verdict.allowed:
            metrics.RATE_LIMITED.labels(policy.name).inc()
        return verdict

    def _take(self, last: Handful, policy: Policy, now: float) -> Verdict | None:
        """One of the requests that were counted ahead, if there is one still."""
        with self._lock:
            if not last.left or now >= last.until or last.verdict.policy != policy:
                return None
            last.left -= 1
            told = last.verdict
            return Verdict(told.policy, told.allowed, told.remaining + last.left, told.reset)

    def _ask_for(self, policy: Policy, caller: tuple[str, str], amount: int, now: float) -> Verdict:
        """Have a handful counted, or one where so many aren't left."""
        verdict = self._ask(policy, caller, amount)
        if amount > 1 and not verdict.allowed:
            amount, verdict = 1, self._ask(policy, caller, 1)
        ahead = amount - 1
        self._handfuls.put(caller, Handful(verdict, ahead, now + _FAST_SECONDS), 1)
        return replace(verdict, remaining=verdict.remaining + ahead)

    def _ask(self, policy: Policy, caller: tuple[str, str], amount: int) -> Verdict:
        current = f"rate:{{{':'.join(caller)}}}"
        keys = [f"{current}/-1", current]
        taken, *counts = _evaluate(self._client(), keys, policy, amount)
        return _judge(policy, bool(taken), *(max(0, int(count or 0)) for count in counts))

    def _pause(self, error: Exception) -> None:
        metrics.RATE_LIMIT_FAILURES.inc()
        with self._lock:
            self._paused_until = self._clock() + _PAUSE_SECONDS
        log.warning("rate limits are off: Valkey did not answer", reason=type(error).__name__)


@lru_cache(maxsize=1)
def default_limiter() -> Limiter:
    """The process's limiter on REDIS_URL."""
    return Limiter(valkey.client)


_SCRIPT: Final = """
local taken = (function(ARGV) {acquire} end)(ARGV)
local counts = (function(ARGV) {read} end)({{ARGV[2]}})
return {{taken and 1 or 0, counts[1], counts[2], counts[3], counts[4]}}
"""


@lru_cache(maxsize=1)
def _script() -> tuple[str, str]:
    """The two scripts of `limits` as one, and its digest."""
    acquire, read = (
        script.decode() if isinstance(script, bytes) else script
        for script in (
            RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW,
            RedisStorage.SCRIPT_SLIDING_WINDOW,
        )
    )
    text = _SCRIPT.format(acquire=acquire, read=read)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _handful(last: Handful | None, policy: Policy, now: float) -> int:
    """How many requests to count at once for a caller who was told `last` before: one, unless it
    comes again soon and is far from its limit.
    """
    if last is None or now >= last.until or last.verdict.policy != policy:
        return 1
    return max(1, min(_HANDFUL, last.verdict.remaining // _FAR))


def _evaluate(client: redis.Redis, keys: list[str], policy: Policy, amount: int) -> Any:
    """Run it, and teach it first to a Valkey that was started or flushed since."""
    text, digest = _script()
    values = str(policy.quota), str(policy.window), str(amount)
    try:
        return client.evalsha(digest, len(keys), *keys, *values)
    except redis.exceptions.NoScriptError:
        return client.eval(text, len(keys), *keys, *values)


def _judge(
    policy: Policy, taken: bool, before: int, before_ms: int, now: int, now_ms: int
) -> Verdict:
    """Work out what is left and when there will be more.

    `before` weighs by the part of its window that still overlaps ours (its key lives `before_ms`
    longer); the present counter lives one window longer than it counts.
    """
    window_ms = policy.window * 1000
    weighted = before * before_ms // window_ms + now
    remaining = max(0, policy.quota - weighted)
    wait_ms = _wait_ms(policy, before, before_ms, now, now_ms - window_ms)
    return Verdict(policy, taken, remaining, max(1, math.ceil(wait_ms / 1000)))


def _wait_ms(policy: Policy, before: int, before_ms: int, now: int, turn_ms: int) -> float:
    """How long until one more request fits: the old window fades, or the present one turns."""
    window_ms = policy.window * 1000
    if before and now < policy.quota:
        return before_ms - window_ms * (policy.quota - now) / before
    return max(0, turn_ms) + 1
