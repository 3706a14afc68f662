"""A client that follows a run over a connection of its own, which a test can cut."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from typing import Any

from tests.proof.client import Client
from tests.runs.following import Told, read_event


class Stream:
    """One open stream; `port` is the client's end of its connection."""

    def __init__(self, client: Client, run: str, *, after: int = 0, timeout: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=timeout)
        headers = {
            "Host": f"localhost:{client.port}",
            "Authorization": f"Bearer {client.token}",
            "Accept": "text/event-stream",
            "Last-Event-ID": str(after),
        }
        self._connection.request("GET", f"/v1/runs/{run}/events", headers=headers)
        self.port: int = self._connection.sock.getsockname()[1]
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()

    def events(self) -> Iterator[Told]:
        """What is told, until the stream ends."""
        block: list[str] = []
        for line in self._answer:
            text = line.decode().rstrip("\n")
            if text:
                block.append(text)
                continue
            if event := read_event(block):
                yield event
            block = []

    def first(self, number: int) -> list[Told]:
        """So many events, no more."""
        events = self.events()
        return [next(events) for _ in range(number)]

    def cut(self) -> None:
        """End the connection as a broken line does: from one moment to the next."""
        self._connection.close()


class Follower(threading.Thread):
    """Follows a run to its end in a thread of its own."""

    def __init__(self, client: Client, run: str) -> None:
        super().__init__(name="follower", daemon=True)
        self._stream = Stream(client, run, timeout=120.0)
        self.told: list[Told] = []
        self.failure: Any = None
        self.start()

    def run(self) -> None:
        try:
            for event in self._stream.events():
                self.told.append(event)
        except Exception as error:  # noqa: BLE001 - told by the test, in its own thread
            self.failure = error
        finally:
            self._stream.cut()
