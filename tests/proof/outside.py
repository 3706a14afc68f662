"""The receiver from the tests' side: started, asked, and read."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request that arrived outside; `effect` if it was the first with its key."""

    key: str
    effect: bool
    attempt: int
    run: str
    token: str
    peer: int
    at: float


@dataclass(frozen=True)
class Outside:
    """A running receiver and its file."""

    port: int
    path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/work"

    def seen(self, token: str | None = None) -> list[Seen]:
        """What has arrived until now, in order; of one token if asked so."""
        lines = self.path.read_text().splitlines()
        found = [Seen(**json.loads(line)) for line in lines]
        return [one for one in found if token is None or one.token == token]

    def open(self, gate: str) -> None:
        """Let go whoever waits at the gate, now or later."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", f"/open/{gate}")
            assert connection.getresponse().status == 200


@contextlib.contextmanager
def receiving(folder: Path) -> Iterator[Outside]:
    """A receiver that lives as long as the block."""
    path = folder / "received.jsonl"
    path.touch()
    command: list[Any] = [sys.executable, Path(__file__).with_name("receiver.py"), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield Outside(int(process.stdout.readline()), path)
        finally:
            process.kill()
