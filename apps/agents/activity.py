"""What agents have been doing, as their pages show it.

Runs belong to a higher app, so it registers how they are read; without it there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.http import HttpRequest

from apps.agents.models import Agent
from apps.common.charts import Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """How an agent did in the last seven days; None where nothing can be said.

    Spend is in micro-USD. `is_cut` if it had more runs than are counted.
    """

    runs: int = 0
    success: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    spend_micros: int = 0
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Week:
    """An agent's last seven days, drawn."""

    performance: Performance
    charts: list[tuple[str, Chart]]
    """Each with its title; none where there was no run."""


class Activity(Protocol):
    """Reads of runs for the pages of agents; a row is what `runs/_table.html` shows."""

    def last(self, request: HttpRequest, agent_ids: Iterable[UUID]) -> Mapping[UUID, Any]:
        """The newest run of each of these agents, in one query."""

    def recent(self, request: HttpRequest, agent_id: UUID, *, limit: int) -> list[Any]:
        """An agent's newest runs."""

    def count_open(self, agent_id: UUID) -> int:
        """How many runs of the agent are queued or at work."""

    def performance(self, agent_ids: Iterable[UUID]) -> Mapping[UUID, Performance]:
        """How those of these agents did that ran in the last seven days, in one query."""

    def week(self, agent_id: UUID) -> Week:
        """The agent's last seven days, in one query."""

    def call(self, request: HttpRequest, agent: Agent) -> str | None:
        """The line that calls the agent by the API; None if it offers nothing."""


class _Nothing:
    def last(self, request: HttpRequest, agent_ids: Iterable[UUID]) -> Mapping[UUID, Any]:
        return {}

    def recent(self, request: HttpRequest, agent_id: UUID, *, limit: int) -> list[Any]:
        return []

    def count_open(self, agent_id: UUID) -> int:
        return 0

    def performance(self, agent_ids: Iterable[UUID]) -> Mapping[UUID, Performance]:
        return {}

    def week(self, agent_id: UUID) -> Week:
        return Week(Performance(), [])

    def call(self, request: HttpRequest, agent: Agent) -> str | None:
        return None


_known: list[Activity] = [_Nothing()]


def register(activity: Activity) -> None:
    """Have the pages of agents read their runs by this."""
    _known[0] = activity


def activity() -> Activity:
    return _known[0]
