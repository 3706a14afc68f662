"""What a connection really says to Postgres: the round trips that libpq itself writes down."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg.pq import Trace

ENDS = {"Sync", "Query"}
"""The messages with which a client hands over and waits (PostgreSQL protocol 3, §53.2)."""


class Wire:
    """The messages of a block, once it is over."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    @property
    def sent(self) -> list[list[str]]:
        """What the client said: its messages, each as direction, length, kind and contents."""
        return [line for line in self.lines if line[0] == "F"]

    @property
    def round_trips(self) -> int:
        return sum(line[2] in ENDS for line in self.sent)


@contextmanager
def tapping(pool: Any) -> Iterator[Wire]:
    """Listen on the only connection of a pool, from before it is given out until it is back."""
    wire = Wire()
    settle(pool)
    connection = pool.getconn()
    pool.putconn(connection)
    settle(pool)
    with tempfile.TemporaryFile("w+") as file:
        connection.pgconn.trace(file.fileno())
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield wire
            settle(pool)
        finally:
            connection.pgconn.untrace()
        file.seek(0)
        wire.lines = [line.rstrip("\n").split("\t") for line in file]


def settle(pool: Any) -> None:
    """Wait until the pool has its connection back."""
    for _ in range(1000):
        stats = pool.get_stats()
        if stats["pool_size"] == stats["pool_available"] == 1:
            return
        time.sleep(0.01)
    raise AssertionError(stats)
