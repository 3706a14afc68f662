"""The supervised parts: what starts one, what ends it, and how soon it may start again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from config.local import process

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
HEALTHY_SECONDS = 60.0


class Server(Protocol):
    """What the supervisor needs of an embedded service."""

    process: subprocess.Popen[bytes] | None

    def spawn(self) -> None: ...


class Child:
    """A process of the product: its command, its environment and its output."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: str,
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.death_signal = death_signal
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = process.spawn(
            self.argv,
            output=subprocess.PIPE,
            env=self.env,
            cwd=self.cwd,
            death_signal=self.death_signal,
        )
        assert self.process.stdout is not None  # noqa: S101 - PIPE was asked for
        os.set_blocking(self.process.stdout.fileno(), False)


class Part:
    """One supervised part: a server or a child, restarted with growing delays when it dies."""

    def __init__(
        self, name: str, server: Server, *, stop_signal: signal.Signals = signal.SIGTERM
    ) -> None:
        self.name = name
        self.server = server
        self.stop_signal = stop_signal
        self.deaths = 0
        self.started_at = time.monotonic()
        self.due_at: float | None = None
        self.unfinished = b""

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self.server.process

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.server.spawn()
        self.started_at, self.due_at = time.monotonic(), None

    def bury(self) -> tuple[int, float]:
        """Note a death: ends what is left of its group, says its code and the delay until the next.

        A part that has run for a minute starts afresh; one that keeps dying waits twice as long.
        """
        assert self.process is not None  # noqa: S101 - only the dead are buried
        process.signal_group(self.process, signal.SIGKILL)
        now = time.monotonic()
        self.deaths = 0 if now - self.started_at > HEALTHY_SECONDS else self.deaths
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2**self.deaths)
        self.deaths += 1
        self.due_at = now + delay
        return self.process.returncode, delay

    def ask_to_stop(self) -> None:
        if self.process is not None and self.is_running():
            self.process.send_signal(self.stop_signal)

    def kill(self) -> None:
        """End the whole group, its leader gone or not."""
        if self.process is not None:
            process.signal_group(self.process, signal.SIGKILL)
            self.process.wait()

    def take_lines(self) -> list[str]:
        """The complete lines written since the last call; at the end, the unfinished one too."""
        stdout = self.process.stdout if self.process is not None else None
        if stdout is None or stdout.closed:
            return []
        try:
            chunk = os.read(stdout.fileno(), 65536)
        except BlockingIOError:
            return []
        if chunk == b"":
            stdout.close()
            chunk = b"\n" if self.unfinished else b""
        *lines, self.unfinished = (self.unfinished + chunk).split(b"\n")
        return [line.decode(errors="replace") for line in lines]
