"""Hundreds of runs while the product is killed under them: none is lost, none is done twice."""

from __future__ import annotations

import pytest

from tests.proof.accounts import find_faults, read_kept
from tests.proof.client import Client
from tests.proof.crowd import Crowd, wait_until
from tests.proof.faults import Chaos
from tests.proof.instance import Instance
from tests.proof.outside import Outside

pytestmark = pytest.mark.proof

RUNS, MOST, KILLS = 300, 1500, 30


def test_no_run_is_lost_or_doubled_whatever_is_killed(
    instance: Instance, client: Client, outside: Outside, slug: str, seed: int
) -> None:
    client.make_http_agent(slug, outside.url, timeout_seconds=300)
    chaos = Chaos(instance, kills=KILLS, seed=seed, every=2.0)
    crowd = Crowd(
        client, slug, seed=seed, runs=RUNS, most=MOST, busy=lambda: not chaos.over.is_set()
    )
    with chaos:
        crowd.work()
        wait_until(chaos.over.is_set, within=300, what="all mishaps have happened")
    with instance.database() as database:
        kept = read_kept(database, slug)
    seen = outside.seen()
    print(
        f"\nfaults: seed {seed}: {len(crowd.asked)} runs, {chaos.killed} SIGKILLs, "
        f"{crowd.repeats} repeats by clients, {kept.requeued} requeued, {kept.given_up} given up, "
        f"{kept.number('succeeded')} succeeded, {len(seen)} requests outside of which "
        f"{sum(one.effect for one in seen)} effects"
    )

    assert chaos.failures == []
    assert chaos.killed >= KILLS
    assert {"FLUSHALL", "immediate stop"} <= set(chaos.done)
    assert crowd.failures == {}
    answers = {key: outcome.run for key, outcome in crowd.answers.items()}
    assert find_faults(asked=crowd.asked, answers=answers, kept=kept, seen=seen) == []
    assert len(crowd.asked) >= RUNS
    # A run may fail by three kills in a row; one that fails for another reason proves nothing.
    assert {run["reason"] for run in kept.runs if run["status"] == "failed"} <= {"lost"}
    assert kept.number("succeeded") >= 0.9 * len(crowd.asked)
    assert kept.requeued > 0, "no kill has hit a run at work"
