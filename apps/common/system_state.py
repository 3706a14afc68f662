"""How the installation stands, in plain words: for every page at a glance, and on a page for all.

Readiness (`apps.common.health`) is for machines and asks when it is asked. A page must not wait
for a part that is down, so it looks into memory, and the parts are asked beside it, by one thread
at a time. Nothing here names an address, a version or an org: anybody may read it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from apps.common import health

FRESH_SECONDS: Final = 10.0
"""How long an answer is not asked for again."""
KNOWN_SECONDS: Final = 120.0
"""How long an answer counts at all; then it is better to say that nothing is known."""
LOOK_SECONDS: Final = 10.0
NAMED: Final = 2

# part → (what people call it, what its absence means for them)
WORDS: Final = {
    "web": ("Pages and API", ""),
    "postgres": ("Database", "Pages and calls fail until it is back. What was saved stays."),
    "migrations": (
        "Database version",
        "An update is being finished. Some pages may fail.",
    ),
    "valkey": ("Queue", "Work that waits in line starts late. Calls that answer at once go on."),
    "policies": ("Policies", "Calls that a policy decides are denied until its engine is back."),
    "workers": ("Workers", "Queued runs start late. Calls that answer at once go on."),
    "provisioner": ("Setup", "New organizations are set up late."),
    "beat": ("Scheduler", "Deadlines, expiries and clean-up come late."),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must run; `effect` says what its absence means, where it is absent."""

    label: str
    is_up: bool
    effect: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """All parts, or none where nothing is known yet."""

    parts: tuple[Part, ...] = ()

    @property
    def is_known(self) -> bool:
        return bool(self.parts)

    @property
    def down(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if not part.is_up)

    @property
    def tone(self) -> str:
        return "warn" if self.down else "ok" if self.is_known else ""

    @property
    def words(self) -> str:
        """The state in a few words: All systems normal; Degraded: workers."""
        if not self.is_known:
            return "Checking systems"
        if not self.down:
            return "All systems normal"
        names = [part.label.lower() for part in self.down]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return f"Degraded: {', '.join(names[:NAMED])}{more}"


def watch(name: str, ask: Callable[[], Mapping[str, str]]) -> None:
    """Show parts that no request needs and that are too dear for readiness; each "ok" or "down"."""
    _watched[name] = ask


_watched: dict[str, Callable[[], Mapping[str, str]]] = {}


def ask_all() -> Mapping[str, str]:
    """Every part by name; a part that somebody watches is asked after readiness."""
    found = {"web": "ok", **health.ask_parts()}
    for ask in list(_watched.values()):
        found |= ask()
    return found


def _beside(work: Callable[[], object]) -> None:
    threading.Thread(target=work, name="system-state", daemon=True).start()


class Memory:
    """The last answer. Whoever finds it old has it renewed; nobody asks while somebody asks."""

    def __init__(
        self,
        ask: Callable[[], Mapping[str, str]] = ask_all,
        clock: Callable[[], float] = time.monotonic,
        beside: Callable[[Callable[[], object]], None] = _beside,
    ) -> None:
        self._ask, self._clock, self._beside = ask, clock, beside
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._state = State()

    def glance(self) -> State:
        """What is known, at once; an old answer is renewed meanwhile."""
        if self._age() >= FRESH_SECONDS and self._asking.acquire(blocking=False):
            try:
                self._beside(self._renew)
            except RuntimeError:  # no thread to be had: the next page tries again
                self._asking.release()
        return self._known()

    def look(self) -> State:
        """What is so, asked now unless it was asked lately; takes as long as a dead part does, and
        of who asks already it waits no longer than that.
        """
        if not self._asking.acquire(timeout=LOOK_SECONDS):
            return self._known()
        if self._age() >= FRESH_SECONDS:
            self._renew()
        else:
            self._asking.release()
        return self._state

    def _known(self) -> State:
        return self._state if self._age() < KNOWN_SECONDS else State()

    def _age(self) -> float:
        return self._clock() - self._asked_at

    def _renew(self) -> None:
        """Ask, remember, and let the next one ask; whoever calls it holds `_asking`."""
        try:
            self._state = _state_of(self._ask())
            self._asked_at = self._clock()
        finally:
            self._asking.release()


def _state_of(found: Mapping[str, str]) -> State:
    parts = []
    for name, state in found.items():
        label, effect = WORDS.get(name, (name.replace("_", " ").capitalize(), ""))
        parts.append(Part(label, state == "ok", "" if state == "ok" else effect))
    return State(tuple(parts))


_memory = Memory()


def glance() -> State:
    """How it stands, for a pill on every page: no query, no wait."""
    return _memory.glance()


def look() -> State:
    """How it stands, for the page about it."""
    return _memory.look()
