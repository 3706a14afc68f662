"""How an org, a project or an agent has been doing: which runs count, where, and how far back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.models import Agent
from apps.orgs.services import projects
from apps.runs import statistics
from apps.runs.statistics import (
    DAY,
    MONTH,
    WEEK,
    WINDOWS,
    Figures,
    Scope,
    Statistics,
    get_figures_by_agent,
    get_statistics,
)
from apps.tenants import keys
from tests.orgs.conftest import AT
from tests.runs.factories import make_agent
from tests.runs.history import past_run, past_runs

NOW = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)
MINUTE, HOUR, A_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def echo(org: Any) -> Agent:
    return make_agent("echo")


def of(window: statistics.Window = DAY, **scope: Any) -> Statistics:
    return get_statistics(window, until=NOW, scope=Scope(**scope))


@pytest.mark.parametrize(
    ("window", "since", "last"),
    [
        (DAY, datetime(2026, 11, 24, 15, tzinfo=UTC), datetime(2026, 11, 25, 14, tzinfo=UTC)),
        (WEEK, datetime(2026, 11, 18, 18, tzinfo=UTC), datetime(2026, 11, 25, 12, tzinfo=UTC)),
        (MONTH, datetime(2026, 10, 27, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
def test_parts_begin_at_round_times_and_the_last_is_now(
    window: statistics.Window, since: datetime, last: datetime
) -> None:
    starts = window.starts(NOW)
    assert (starts[0], starts[-1], len(starts)) == (since, last, window.parts)


def test_each_outcome_is_counted_as_what_it_is(echo: Agent) -> None:
    for status, number in (("succeeded", 6), ("failed", 2), ("timed_out", 1), ("denied", 3)):
        for _ in range(number):
            past_run(echo, NOW - HOUR, status)
    past_run(echo, NOW - HOUR, "cancelled")
    past_run(echo, NOW - HOUR, "running")

    now = of().now

    assert (now.succeeded, now.failed, now.timed_out, now.denied) == (6, 2, 1, 3)
    assert (now.cancelled, now.open, now.runs, now.missed) == (1, 1, 14, 3)
    assert now.success == pytest.approx(6 / 9)


def test_durations_are_of_runs_that_ended_by_themselves(echo: Agent) -> None:
    for ms in (100, 200, 300, 400, 1000):
        past_run(echo, NOW - HOUR, ms=ms, cost_micros=7)
    past_run(echo, NOW - HOUR, "cancelled", ms=90_000, cost_micros=5)
    past_run(echo, NOW - HOUR, "denied", ms=0)

    now = of().now

    assert (now.p50_ms, now.p95_ms) == (pytest.approx(300), pytest.approx(880))
    assert now.spend_micros == 40


def test_children_count_and_replays_do_not(echo: Agent) -> None:
    root = past_run(echo, NOW - HOUR, cost_micros=1)
    past_run(echo, NOW - HOUR, parent=root, root_id=root.id, cost_micros=2)
    for elsewhere in ("sandbox", "replay"):
        past_run(echo, NOW - HOUR, environment=elsewhere, cost_micros=100)

    assert (of().now.runs, of().now.spend_micros) == (2, 3)
    assert get_figures_by_agent(DAY, until=NOW, agent_ids=[echo.id])[echo.id].runs == 2


def test_each_run_lies_in_the_part_it_began_in(echo: Agent) -> None:
    since = DAY.since(NOW)
    for at in (since, since + 59 * MINUTE, since + HOUR, NOW - MINUTE, NOW - MINUTE, NOW):
        past_run(echo, at)

    found = of()

    counts = [part.runs for part in found.parts if part]
    assert counts == [2, 1, *([0] * 21), 2]
    assert found.now.runs == sum(counts) == 5


def test_the_window_before_is_as_long_and_ends_as_far_into_its_last_part(echo: Agent) -> None:
    since = DAY.since(NOW)
    # Given the edges of what is compared: its first moment, its last, and one beyond each
    past_run(echo, since - A_DAY)
    past_run(echo, NOW - A_DAY - MINUTE)
    past_run(echo, since - A_DAY - MINUTE)
    past_run(echo, NOW - A_DAY)
    past_run(echo, NOW - HOUR)

    found = of()

    assert (found.now.runs, found.before and found.before.runs) == (1, 2)


@pytest.mark.parametrize("window", WINDOWS.values())
def test_nothing_is_nothing(org: Any, window: statistics.Window) -> None:
    found = of(window)
    assert found.now == found.before == Figures()
    assert found.parts == [Figures()] * window.parts
    assert (found.now.success, found.now.p50_ms, found.is_cut) == (None, None, False)


def test_a_project_and_an_agent_narrow(echo: Agent, owner: Any) -> None:
    apollo = projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    other = make_agent("other")
    past_run(echo, NOW - HOUR)
    past_run(other, NOW - HOUR)
    past_run(other, NOW - HOUR, project_id=apollo.id)

    assert of().now.runs == 3
    assert of(agent_id=other.id).now.runs == 2
    assert of(project_id=apollo.id).now.runs == 1
    assert of(project_id=apollo.id, agent_id=echo.id).now.runs == 0


def test_agents_are_told_apart_in_one_query(echo: Agent) -> None:
    agents = [echo, *(make_agent(f"a{n}") for n in range(4))]
    for n, agent in enumerate(agents[:4]):
        for _ in range(n + 1):
            past_run(agent, NOW - HOUR, ms=100 * (n + 1), cost_micros=n)
    past_run(agents[0], NOW - 8 * A_DAY, ms=9_000)

    with CaptureQueriesContext(connection) as seen:
        found = get_figures_by_agent(WEEK, until=NOW, agent_ids=[a.id for a in agents[:3]])

    assert len(seen) == 1
    assert {agent.slug: found[agent.id].runs for agent in agents[:3]} == {
        "echo": 1,
        "a0": 2,
        "a1": 3,
    }
    assert found[agents[2].id].p50_ms == pytest.approx(300)
    assert found[agents[2].id].spend_micros == 6
    whole = of(WEEK).agents
    assert {agent: whole[agent] for agent in found} == found and len(whole) == 4
    assert get_figures_by_agent(WEEK, until=NOW, agent_ids=[]) == {}


def test_only_the_newest_are_counted_and_it_is_said(
    echo: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST", 3)
    since = DAY.since(NOW)
    for at in (since, since + 2 * HOUR, since + 5 * HOUR, NOW - MINUTE):
        past_run(echo, at)

    found = of()

    assert (found.now.runs, found.is_cut, found.before) == (3, True, None)
    assert found.parts[:2] == [None, None]
    assert [part.runs for part in found.parts[2:] if part] == [1, 0, 0, 1, *([0] * 17), 1]


def test_a_cut_in_the_time_before_leaves_this_window_whole(
    echo: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST", 3)
    for at in (NOW - MINUTE, NOW - HOUR, NOW - A_DAY - HOUR, NOW - A_DAY - 2 * HOUR):
        past_run(echo, at)

    found = of()

    assert (found.now.runs, found.is_cut, found.before) == (2, False, None)
    assert None not in found.parts


def test_another_orgs_runs_are_not_counted(echo: Agent, other_org: Any) -> None:
    past_run(echo, NOW - HOUR)
    with keys.holding(other_org.schema, other_org.id):
        theirs = make_agent("theirs")
        past_runs(theirs, [NOW - HOUR] * 5)
        assert of().now.runs == 5
    assert of().now.runs == 1
    assert set(of().agents) == {echo.id}
    assert get_figures_by_agent(DAY, until=NOW, agent_ids=[theirs.id]) == {}
