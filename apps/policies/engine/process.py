"""One child process that evaluates policies, as its parent holds it."""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from apps.common.json import Object

PROGRAM: Final = Path(__file__).with_name("child.py")
START_SECONDS: Final = 5.0
MAX_BYTES: Final = 8 * 2**20
"""The largest message that is sent to a child or taken from one."""
PATIENCE: Final = 0.05
"""How often, in seconds, a late evaluation is looked at."""
LONG: Final = 0.03
"""Seconds of CPU that make an evaluation a long one, which goes on behind all else: usual is a
thousandth of that.
"""
NICENESS: Final = 10

Why = Literal["late", "starved", "died", "garbage", "killed"]


class ChildFailure(Exception):
    """A child gave no answer that counts: it is of no more use. `at` is the text it was busy with.

    `late` and `died` are the text's doing; `starved` and `killed` are the machine's.
    """

    def __init__(self, why: Why, at: int = 0) -> None:
        super().__init__(why)
        self.why, self.at = why, at


class Child:
    """A process without environment, files or network that answers one request at a time."""

    def __init__(self, command: list[str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as progress:
            progress.write(b"\0")
            progress.flush()
            self._progress = mmap.mmap(progress.fileno(), 1)
            self._process = subprocess.Popen(
                [*(command or _command()), str(progress.fileno())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[progress.fileno()],
                env={},
                cwd="/",
                start_new_session=True,
            )
        self._socket = ours
        self._slowed = False
        self._long = LONG

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent; who was slowed down can't be speeded up again."""
        return not self._slowed and self._process.poll() is None

    def greet(self) -> None:
        """Wait until it has started; raises ChildFailure if it hasn't."""
        self._receive(time.monotonic() + START_SECONDS, math.inf)

    def ask(
        self,
        request: Object,
        document: bytes = b"null",
        *,
        until: float,
        long: float = LONG,
    ) -> Object:
        """Its answer by then (monotonic); raises ChildFailure, and is of no more use after it.

        `long` is how many seconds of CPU are too many for what is asked.
        """
        self._progress[0] = 0
        self._long = long
        seconds, spent = until - time.monotonic(), self._spent()
        try:
            self._send({**request, "seconds": seconds}, document)
            return self._receive(until, spent)
        except TimeoutError:
            is_guilty = self._spent() - spent > long
            raise ChildFailure("late" if is_guilty else "starved", self._progress[0]) from None
        except OSError:
            raise self._death() from None

    def kill(self) -> None:
        """End it now; whoever asked waits no longer than a moment for it to be gone, and the next
        child's start buries what was left (`subprocess` does).
        """
        self._socket.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.01)

    def forget(self) -> None:
        """Let go of another process's child: after a fork it is the parent's alone."""
        self._socket.close()
        self._process.returncode = 0

    def _send(self, request: Object, document: bytes) -> None:
        head = json.dumps(request).encode()
        size = len(head) + 1 + len(document)
        if size > MAX_BYTES or request["seconds"] <= 0:
            raise TimeoutError
        self._socket.settimeout(request["seconds"])
        self._socket.sendall(b"".join((struct.pack(">I", size), head, b"\n", document)))

    def _receive(self, until: float, spent: float) -> Object:
        found = bytearray()
        while len(found) < self._wanted(found):
            found += self._receive_some(until, spent)
        try:
            answer = json.loads(found[4:])
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ChildFailure("garbage", self._progress[0])
        return answer

    def _wanted(self, found: bytearray) -> int:
        """How long the message is, as far as is known."""
        size: int = struct.unpack_from(">I", found)[0] if len(found) >= 4 else 0
        if size > MAX_BYTES:
            raise ChildFailure("garbage", self._progress[0])
        return 4 + size

    def _receive_some(self, until: float, spent: float) -> bytes:
        """What comes within a moment; who computes all the while then gives way to all others."""
        if (left := until - time.monotonic()) <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, PATIENCE))
        try:
            part = self._socket.recv(2**16)
        except TimeoutError:
            self._give_way(spent)
            return b""
        if not part:
            raise self._death()
        return part

    def _give_way(self, spent: float) -> None:
        if not self._slowed and self._spent() - spent > self._long:
            self._slowed = True
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.pid, NICENESS)

    def _death(self) -> ChildFailure:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)
        by_others = self._process.returncode in {-signal.SIGKILL, -signal.SIGTERM, None}
        return ChildFailure("killed" if by_others else "died", self._progress[0])

    def _spent(self) -> float:
        """Seconds of CPU that it has used, by its own clock (clock_getcpuclockid)."""
        with contextlib.suppress(OSError):
            return time.clock_gettime((~self.pid) << 3 | 2)
        return math.nan


def _command() -> list[str]:
    spec: Any = find_spec("regorus")
    site = str(Path(spec.origin).parent.parent)
    return [sys.executable, "-I", "-S", str(PROGRAM), site]
