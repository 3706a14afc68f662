"""Mishaps of a product at work: processes killed, the queue flushed, the database stopped."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.proof.instance import Instance, Kind

PATIENCE_SECONDS: Final = 90.0


@dataclass
class Chaos:
    """Kills in a thread of its own, by a plan that the seed gives."""

    instance: Instance
    kills: int
    seed: int
    every: float
    leaders: int = 1
    leader_starts: float = 8.0
    member_starts: float = 4.0
    services: Sequence[str] = ("valkey", "postgres")
    done: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos")

    def __enter__(self) -> Chaos:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()

    @property
    def killed(self) -> int:
        return sum(one.startswith("SIGKILL") for one in self.done)

    def plan(self) -> list[str]:
        """The order of what happens: kills of both kinds, and each service's mishap among them."""
        kinds: list[Kind] = ["web", "worker"]
        half = [kinds[number % 2] for number in range(self.kills)]
        self.rng.shuffle(half)
        plan: list[str] = [f"member {kind}" for kind in half]
        for kind in kinds * self.leaders:
            plan[self.rng.randrange(len(plan))] = f"leader {kind}"
        for service in self.services:
            plan.insert(self.rng.randint(1, len(plan) - 1), service)
        return plan

    def _run(self) -> None:
        try:
            for what in self.plan():
                self.over.wait(self.every * self.rng.uniform(0.5, 1.5))
                if not self.over.is_set():
                    self._happen(what)
        except Exception as error:  # noqa: BLE001 - told by the test, in its own thread
            self.failures.append(error)
        finally:
            self.over.set()

    def _happen(self, what: str) -> None:
        if what == "valkey":
            self.instance.flush_valkey()
            self.done.append("FLUSHALL")
        elif what == "postgres":
            self.instance.stop_postgres_at_once()
            self.done.append("immediate stop")
        else:
            which, kind = what.split()
            self._kill(which, kind)

    def _kill(self, which: str, kind: Kind) -> None:
        """SIGKILL a leader, or a member; waits for one that may be at work."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            victims = self._ready(kind)
            if victims:
                victim = victims[0] if which == "leader" else self.rng.choice(victims[1:])
                victim.kill()
                self.done.append(f"SIGKILL {which} {kind}")
                return
            time.sleep(0.1)
        raise TimeoutError(f"no process of {kind} to kill for {PATIENCE_SECONDS:g} s")

    def _ready(self, kind: Kind) -> list[psutil.Process]:
        """The leader and those members that have started; none while the leader itself starts.

        Whoever is killed before it could work shows nothing, and is started ever more slowly.
        """
        try:
            leader = self.instance.leader(kind)
            if leader is None or not _is_older(leader, self.leader_starts):
                return []
            members = self.instance.members(kind)
            started = [one for one in members if _is_older(one, self.member_starts)]
        except psutil.NoSuchProcess:
            return []
        return [leader, *started] if started else []


def _is_older(process: psutil.Process, seconds: float) -> bool:
    return time.time() - process.create_time() > seconds
