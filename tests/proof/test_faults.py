"""Hundreds of runs while the product is killed under them: none is lost, none is done twice.

Half of them are carried out by a child run of an agent that the asked one calls.
"""

from __future__ import annotations

import pytest

from tests.proof.accounts import find_faults, read_kept, tell
from tests.proof.crowd import Crowd, wait_until
from tests.proof.faults import Chaos
from tests.proof.instance import Instance
from tests.proof.outside import Outside

pytestmark = pytest.mark.proof

RUNS, MOST, KILLS = 300, 1500, 30


def test_no_run_is_lost_or_doubled_whatever_is_killed(
    instance: Instance, outside: Outside, slug: str, seed: int
) -> None:
    client, relay = instance.make_org(slug), f"{slug}-relay"
    client.make_http_agent(slug, outside.url, timeout_seconds=300)
    client.make_relay(relay, slug, timeout_seconds=300)
    chaos = Chaos(instance, kills=KILLS, seed=seed, every=2.0)
    crowd = Crowd(
        client,
        [slug, relay],
        seed=seed,
        runs=RUNS,
        most=MOST,
        busy=lambda: not chaos.over.is_set(),
    )
    with chaos:
        crowd.work()
        wait_until(chaos.over.is_set, within=300, what="all mishaps have happened")
    with instance.database(slug) as database:
        kept = read_kept(database, slug, relay)
    seen = outside.seen()
    answers = {key: outcome.run for key, outcome in crowd.answers.items()}
    faults = find_faults(asked=crowd.asked, answers=answers, kept=kept, seen=seen)
    print(
        f"\nfaults: seed {seed}: {tell(faults)}; {len(crowd.asked)} runs, {kept.children} of them"
        f" by a child, {chaos.killed} SIGKILLs, {crowd.repeats} repeats by clients,"
        f" {kept.requeued} requeued, {kept.given_up} given up, {kept.number('succeeded')}"
        f" succeeded, {len(seen)} requests outside of which {sum(one.effect for one in seen)}"
        " effects"
    )

    assert chaos.failures == []
    assert chaos.killed >= KILLS
    assert {"FLUSHALL", "immediate stop"} <= set(chaos.done)
    assert crowd.failures == {}
    assert faults == []
    assert len(crowd.asked) >= RUNS
    assert kept.children >= 0.4 * len(crowd.asked)
    # A run may fail by three kills in a row; one that fails for another reason proves nothing.
    assert {run["reason"] for run in kept.runs if run["status"] == "failed"} <= {"lost"}
    assert kept.number("succeeded") >= 0.9 * len(crowd.asked)
    assert kept.requeued > 0, "no kill has hit a run at work"
