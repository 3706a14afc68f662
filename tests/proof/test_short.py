"""The short form of the proof of faults, and what its reckoning finds in a doctored story."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.orgs.conftest import owner_of, token_for
from tests.proof.accounts import Kept, find_faults, read_kept
from tests.proof.client import Client
from tests.proof.crowd import Crowd, wait_until
from tests.proof.faults import Chaos
from tests.proof.instance import Instance
from tests.proof.outside import Outside, Seen

RUNS, MOST, KILLS = 30, 300, 4


def test_killed_processes_lose_and_double_no_run(
    small_instance: Instance,
    throwaway_org: Callable[[], Any],
    outside: Outside,
    slug: str,
    seed: int,
) -> None:
    org = throwaway_org()
    client = Client(small_instance.port, token_for(org, owner_of(org)))
    client.make_http_agent(slug, outside.url, timeout_seconds=300)
    chaos = Chaos(
        small_instance,
        kills=KILLS,
        seed=seed,
        every=0.6,
        leaders=0,
        leader_starts=4.0,
        member_starts=2.0,
        services=("valkey",),
    )
    crowd = Crowd(
        client, slug, seed=seed, runs=RUNS, most=MOST, busy=lambda: not chaos.over.is_set()
    )
    with chaos:
        crowd.work()
        wait_until(chaos.over.is_set, within=60, what="all mishaps have happened")
    with small_instance.database(org.slug) as database:
        kept = read_kept(database, slug)
    print(
        f"\nfaults, short: seed {seed}: {len(crowd.asked)} runs, {chaos.killed} SIGKILLs,"
        f" {crowd.repeats} repeats by clients, {kept.requeued} requeued"
    )

    assert (chaos.failures, crowd.failures) == ([], {}), f"seed {seed}"
    assert (chaos.killed, "FLUSHALL" in chaos.done) == (KILLS, True)
    answers = {key: outcome.run for key, outcome in crowd.answers.items()}
    faults = find_faults(asked=crowd.asked, answers=answers, kept=kept, seen=outside.seen())
    assert faults == [], f"seed {seed}"
    assert kept.number("succeeded") >= 0.9 * len(crowd.asked)


RUN = {
    "id": "run_1",
    "key": "a",
    "status": "succeeded",
    "reason": "",
    "error": None,
    "output": {"attempt": 1, "key": "k"},
    "lease_no": 1,
}
SEEN = Seen(key="k", effect=True, attempt=1, run="run_1", token="a", peer=1, at=0.0)
OTHER = Seen(key="k2", effect=True, attempt=1, run="run_1", token="a", peer=1, at=0.0)


def test_a_true_story_has_no_faults() -> None:
    repeated = [SEEN, replace(SEEN, effect=False)]

    assert reckon() == []
    assert reckon(seen=repeated) == []


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"answers": {}}, "a: lost: never answered"),
        ({"runs": []}, "a: lost: no run"),
        ({"seen": []}, "a: lost: succeeded without an effect"),
        ({"runs": [RUN, {**RUN, "id": "run_2"}]}, "a: doubled: 2 runs"),
        ({"seen": [SEEN, OTHER]}, "a: doubled: 2 effects"),
        ({"seen": [OTHER]}, "a: settled with somebody else's answer"),
        ({"runs": [{**RUN, "lease_no": 2}]}, "a: settled by attempt 1, not by 2"),
        (
            {"runs": [{**RUN, "status": "failed", "output": None}]},
            "a: ended failed without a reason",
        ),
        ({"runs": [{**RUN, "status": "running"}]}, "a: ended running without a reason"),
        ({"runs": [{**RUN, "id": "run_2"}]}, "a: the client was told something else"),
        ({"runs": [RUN, {**RUN, "key": "b"}]}, "b: a run that nobody asked for"),
        ({"open_steps": 1}, "1 steps are still open"),
    ],
)
def test_the_reckoning_finds_each_fault(changed: dict[str, Any], fault: str) -> None:
    assert fault in reckon(**changed)


def reckon(
    *,
    runs: list[dict[str, Any]] | None = None,
    answers: dict[str, Any] | None = None,
    seen: list[Seen] | None = None,
    open_steps: int = 0,
) -> list[str]:
    """The faults of a story that is true but for what is given."""
    return find_faults(
        asked=["a"],
        answers={"a": copy.deepcopy(RUN)} if answers is None else answers,
        kept=Kept([RUN] if runs is None else runs, open_steps),
        seen=[SEEN] if seen is None else seen,
    )
