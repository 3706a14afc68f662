"""Many clients at once, each with a key of its own for each run, none of which ever gives up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.proof.client import Client, Object, Outcome


@dataclass
class Crowd:
    """Threads that invoke agents in turn, half sync and half async, until there are enough runs.

    They go on while `busy` says so, so that what happens to the product happens while it works.
    """

    client: Client
    agents: Sequence[str]
    seed: int
    runs: int
    busy: Callable[[], bool] = lambda: False
    most: int = 0
    threads: int = 12
    within: float = 180.0
    answers: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def work(self) -> None:
        """Returns once each of them has all its answers, or has given up on one for good."""
        self._lock = threading.Lock()
        self._rng = random.Random(self.seed)
        crowd = [threading.Thread(target=self._one, name="crowd") for _ in range(self.threads)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

    @property
    def repeats(self) -> int:
        return sum(answer.repeats for answer in self.answers.values())

    def _one(self) -> None:
        while order := self._next():
            agent, key, mode, input = order
            try:
                outcome = self.client.insist(agent, input, mode=mode, key=key, within=self.within)
            except Exception as error:  # noqa: BLE001 - told by the test, in its own thread
                self.failures[key] = error
            else:
                self.answers[key] = outcome

    def _next(self) -> tuple[str, str, str, Object] | None:
        """The next order: its agent, key, mode and input; half of them are answered late."""
        with self._lock:
            number = len(self.asked)
            enough = number >= self.runs and (not self.busy() or number >= self.most)
            if enough:
                return None
            agent = self.agents[number // 2 % len(self.agents)]
            key = f"{self.agents[0]}-{number}"
            self.asked.append(key)
            delay = self._rng.choice([0, self._rng.randrange(800)])
            return agent, key, ("sync", "async")[number % 2], {"token": key, "delay_ms": delay}


def wait_until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Poll `condition`; fails with `what` if it doesn't hold in so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within:g} s"
        time.sleep(0.05)
