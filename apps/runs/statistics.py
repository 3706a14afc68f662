"""How an org, a project or an agent has been doing: counts, success, duration and spend.

**Which runs count.** Every live run that began within the window, root or child: work is work,
whoever asked for it, and each run's cost is its own, so that nothing counts twice. Sandbox runs and
replays don't. *Success* is of the runs that came to an end by themselves: succeeded ÷ (succeeded +
failed + timed out). Denied runs never began and cancelled ones were ended by somebody, so each are
counted apart. *Durations* are of the same runs as success, from start to end, in milliseconds.

**How far they count.** The newest `MOST` runs of both windows, so that a page costs the same in an
org of millions; where that cuts the window short, `is_cut` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

MOST: Final = 10_000
"""Runs that one answer is made of; reading and sorting them takes about 2 ms a thousand."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time until now in equal parts, which begin at round times (UTC).

    The last part is the one that isn't over. What is compared with it is as long, and as far into
    its own last part.
    """

    key: str
    label: str
    words: str
    before: str
    part: timedelta
    parts: int

    @property
    def length(self) -> timedelta:
        return self.part * self.parts

    def since(self, until: datetime) -> datetime:
        """When it begins, if it ends at `until`."""
        seconds = self.part.total_seconds()
        begun = until.timestamp() // seconds * seconds
        return datetime.fromtimestamp(begun, UTC) - self.part * (self.parts - 1)

    def starts(self, until: datetime) -> list[datetime]:
        """When each of its parts begins."""
        return [self.since(until) + self.part * n for n in range(self.parts)]


DAY: Final = Window("24h", "24 h", "last 24 hours", "the day before", timedelta(hours=1), 24)
WEEK: Final = Window("7d", "7 d", "last 7 days", "the week before", timedelta(hours=6), 28)
MONTH: Final = Window("30d", "30 d", "last 30 days", "the 30 days before", timedelta(days=1), 30)
WINDOWS: Final = {window.key: window for window in (DAY, WEEK, MONTH)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What became of some runs."""

    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    denied: int = 0
    cancelled: int = 0
    open: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    spend_micros: int = 0

    @property
    def runs(self) -> int:
        return self.succeeded + self.missed + self.denied + self.cancelled + self.open

    @property
    def missed(self) -> int:
        """How many failed or took too long."""
        return self.failed + self.timed_out

    @property
    def success(self) -> float | None:
        """The share that succeeded of those that ended by themselves; None if none did."""
        ended = self.succeeded + self.missed
        return self.succeeded / ended if ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A window's figures, whole, part by part and by agent, and those of the window before.

    `is_cut`: only the newest `MOST` runs were counted, so that early parts are None; `before` is
    None where the window before wasn't counted whole.
    """

    window: Window
    until: datetime
    now: Figures
    before: Figures | None
    parts: list[Figures | None]
    agents: dict[UUID, Figures]
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose runs: the org's, unless a project or an agent narrows them."""

    project_id: UUID | None = None
    agent_id: UUID | None = None


ORG: Final = Scope()

_MEASURES: Final = """
  count(*) filter (where status = 'succeeded'),
  count(*) filter (where status = 'failed'),
  count(*) filter (where status = 'timed_out'),
  count(*) filter (where status = 'denied'),
  count(*) filter (where status = 'cancelled'),
  count(*) filter (where status in ('queued', 'running', 'awaiting_approval')),
  percentile_cont(array[0.5, 0.95]::float8[]) within group (order by ms),
  sum(cost_micros)::bigint
"""
_MS: Final = """
  case when status in ('succeeded', 'failed', 'timed_out')
    then greatest(date_part('epoch', finished_at - started_at) * 1000, 0) end as ms
"""
_LIVE: Final = """
  environment = 'live' and created_at >= %(from)s::timestamptz
    and created_at < %(until)s::timestamptz
"""
# The newest runs of both windows, numbered by the part they began in: -1 is all of the window
# before, NULL what lies between it (which ends as far into its last part) and this one. Read once
# and added up three ways, which `grouping` tells apart: by window, by part, by window and agent.
_STATISTICS: Final = f"""
with found as materialized (
  select agent_id, created_at, status, cost_micros, {_MS},
    case when created_at >= %(since)s::timestamptz
        then floor(date_part('epoch', created_at - %(since)s::timestamptz) / %(part)s::float8)::int
      when created_at < %(before)s::timestamptz then -1 end as part
  from runs where {_LIVE} {{narrowed}} order by created_at desc limit %(most)s::int),
counted as (select *, part >= 0 as is_now from found where part is not null)
select grouping(is_now, part, agent_id), is_now, part, agent_id, (select count(*) from found),
  (select min(created_at) from found), {_MEASURES}
from counted group by grouping sets ((is_now), (part), (is_now, agent_id))
"""  # noqa: S608  made of constants
_WHOLE, _PART, _AGENT = 0b011, 0b101, 0b010
_BY_AGENT: Final = f"""
with counted as materialized (
  select agent_id, status, cost_micros, {_MS}
  from runs where {_LIVE} and agent_id = any(%(agents)s::uuid[])
  order by created_at desc limit %(most)s::int)
select agent_id, {_MEASURES} from counted group by agent_id
"""  # noqa: S608  made of constants


def get_statistics(window: Window, *, until: datetime, scope: Scope = ORG) -> Statistics:
    """What the runs of a window came to; one query."""
    since = window.since(until)
    values = {
        **_narrowing(scope),
        "from": since - window.length,
        "before": until - window.length,
        "since": since,
        "until": until,
        "part": window.part.total_seconds(),
        "most": MOST,
    }
    rows = _fetch(_STATISTICS.format(narrowed=_narrowed(scope)), values)
    counted, oldest = (rows[0][4], rows[0][5]) if rows else (0, since)
    wholes = {row[1]: _figures(row[6:]) for row in rows if row[0] == _WHOLE}
    parts = {row[2]: _figures(row[6:]) for row in rows if row[0] == _PART}
    first = _first_part(window, since, oldest) if counted >= MOST else 0
    return Statistics(
        window=window,
        until=until,
        now=wholes.get(True, Figures()),
        before=wholes.get(False, Figures()) if counted < MOST else None,
        parts=[None if n < first else parts.get(n, Figures()) for n in range(window.parts)],
        agents={row[3]: _figures(row[6:]) for row in rows if row[0] == _AGENT and row[1]},
        is_cut=counted >= MOST and oldest >= since,
    )


def get_figures_by_agent(
    window: Window, *, until: datetime, agent_ids: Iterable[UUID]
) -> dict[UUID, Figures]:
    """The figures of those of these agents that ran within a window; one query."""
    agents = list(agent_ids)
    if not agents:
        return {}
    values = {"agents": agents, "from": window.since(until), "until": until, "most": MOST}
    return {row[0]: _figures(row[1:]) for row in _fetch(_BY_AGENT, values)}


def _narrowed(scope: Scope) -> str:
    """The conditions that `_narrowing` has the values of."""
    wanted = (("project_id", scope.project_id), ("agent_id", scope.agent_id))
    return "".join(f" and {name} = %({name})s::uuid" for name, value in wanted if value)


def _narrowing(scope: Scope) -> dict[str, Any]:
    return {"project_id": scope.project_id, "agent_id": scope.agent_id}


def _first_part(window: Window, since: datetime, oldest: datetime) -> int:
    """The first part that is known of, where the oldest run that was counted is that."""
    return max(0, int((oldest - since) / window.part))


def _figures(measures: tuple[Any, ...]) -> Figures:
    """The figures that `_MEASURES` came to."""
    *counts, percentiles, spend = measures
    p50, p95 = percentiles or (None, None)
    names = ("succeeded", "failed", "timed_out", "denied", "cancelled", "open")
    counted = dict(zip(names, counts, strict=True))
    return Figures(**counted, p50_ms=p50, p95_ms=p95, spend_micros=spend or 0)


def _fetch(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.fetch(statement, values)  # type: ignore[attr-defined, no-any-return]
