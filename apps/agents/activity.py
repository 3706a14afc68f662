"""What agents have been doing, as their pages show it.

Runs belong to a higher app, so it registers how they are read; without it there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

from django.http import HttpRequest


class Activity(Protocol):
    """Reads of runs for the pages of agents; a row is what `runs/_table.html` shows."""

    def last(self, request: HttpRequest, agent_ids: Iterable[UUID]) -> Mapping[UUID, Any]:
        """The newest run of each of these agents, in one query."""

    def recent(self, request: HttpRequest, agent_id: UUID, *, limit: int) -> list[Any]:
        """An agent's newest runs."""

    def count_open(self, agent_id: UUID) -> int:
        """How many runs of the agent are queued or at work."""


class _Nothing:
    def last(self, request: HttpRequest, agent_ids: Iterable[UUID]) -> Mapping[UUID, Any]:
        return {}

    def recent(self, request: HttpRequest, agent_id: UUID, *, limit: int) -> list[Any]:
        return []

    def count_open(self, agent_id: UUID) -> int:
        return 0


_known: list[Activity] = [_Nothing()]


def register(activity: Activity) -> None:
    """Have the pages of agents read their runs by this."""
    _known[0] = activity


def activity() -> Activity:
    return _known[0]
