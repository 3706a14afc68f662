"""The short form of the proof of faults, and what its reckoning finds in a doctored story."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.orgs.conftest import owner_of, token_for
from tests.proof.accounts import Kept, find_faults, read_kept, tell
from tests.proof.client import Client
from tests.proof.crowd import Crowd, wait_until
from tests.proof.faults import Chaos
from tests.proof.instance import Instance
from tests.proof.outside import Outside, Seen
from tests.proof.test_stalled import remove_fences, stall

RUNS, MOST, KILLS = 30, 300, 4


def test_killed_processes_lose_and_double_no_run(
    small_instance: Instance,
    throwaway_org: Callable[[], Any],
    outside: Outside,
    slug: str,
    seed: int,
) -> None:
    org, relay = throwaway_org(), f"{slug}-relay"
    client = owners_client(small_instance, org)
    client.make_http_agent(slug, outside.url, timeout_seconds=300)
    client.make_relay(relay, slug, timeout_seconds=300)
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
        client,
        [slug, relay],
        seed=seed,
        runs=RUNS,
        most=MOST,
        busy=lambda: not chaos.over.is_set(),
    )
    with chaos:
        crowd.work()
        wait_until(chaos.over.is_set, within=60, what="all mishaps have happened")
    with small_instance.database(org.slug) as database:
        kept = read_kept(database, slug, relay)
    answers = {key: outcome.run for key, outcome in crowd.answers.items()}
    faults = find_faults(asked=crowd.asked, answers=answers, kept=kept, seen=outside.seen())
    print(
        f"\nfaults, short: seed {seed}: {tell(faults)}; {len(crowd.asked)} runs, {kept.children} of"
        f" them by a child, {chaos.killed} SIGKILLs, {crowd.repeats} repeats by clients,"
        f" {kept.requeued} requeued"
    )

    assert (chaos.failures, crowd.failures) == ([], {}), f"seed {seed}"
    assert (chaos.killed, "FLUSHALL" in chaos.done) == (KILLS, True)
    assert faults == [], f"seed {seed}"
    assert kept.children >= 0.4 * len(crowd.asked)
    assert kept.number("succeeded") >= 0.9 * len(crowd.asked)


def test_a_stalled_worker_settles_nothing_unless_the_fence_is_taken_away(
    small_instance: Instance, throwaway_org: Callable[[], Any], outside: Outside, slug: str
) -> None:
    """The proof of tests.proof.test_stalled and its control, one after the other."""
    told = []
    for name, fenced in ((slug, True), (f"{slug}-open", False)):
        org = throwaway_org()
        with small_instance.database(org.slug) as database:
            if not fenced:
                remove_fences(database)
            client = owners_client(small_instance, org)
            faults, run, _ = stall(small_instance, client, outside, database, name)
        told.append((run["attempt"], run["output"]["attempt"], faults))

    assert told == [(2, 2, []), (2, 1, [f"{slug}-open: settled by attempt 1, not by 2"])]


def owners_client(instance: Instance, org: Any) -> Client:
    return Client(instance.port, token_for(org, owner_of(org)))


RUN = {
    "id": "run_1",
    "key": "a",
    "status": "succeeded",
    "reason": "",
    "error": None,
    "output": {"attempt": 1, "key": "k"},
    "lease_no": 1,
    "children": 0,
}
SEEN = Seen(key="k", effect=True, attempt=1, run="run_1", token="a", peer=1, at=0.0)
OTHER = Seen(key="k2", effect=True, attempt=1, run="run_1", token="a", peer=1, at=0.0)


def test_a_true_story_has_no_faults() -> None:
    repeated = [SEEN, replace(SEEN, effect=False)]
    found_on_record = [{**RUN, "lease_no": 2}]

    assert reckon() == []
    assert reckon(seen=repeated) == []
    assert reckon(runs=found_on_record) == []
    assert tell(reckon()) == "lost 0, doubled 0, other faults 0"
    assert tell(reckon(runs=[], seen=[SEEN, OTHER])) == "lost 1, doubled 1, other faults 0"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"answers": {}}, "a: lost: never answered"),
        ({"runs": []}, "a: lost: no run"),
        ({"seen": []}, "a: lost: succeeded without an effect"),
        ({"runs": [RUN, {**RUN, "id": "run_2"}]}, "a: doubled: 2 runs"),
        ({"seen": [SEEN, OTHER]}, "a: doubled: 2 effects"),
        ({"seen": [OTHER]}, "a: settled with somebody else's answer"),
        ({"seen": [SEEN, replace(SEEN, attempt=2)]}, "a: settled by attempt 1, not by 2"),
        ({"runs": [{**RUN, "children": 2}]}, "a: doubled: 2 children"),
        (
            {"runs": [{**RUN, "status": "failed", "output": None}]},
            "a: ended failed without a reason",
        ),
        ({"runs": [{**RUN, "status": "running"}]}, "a: ended running without a reason"),
        ({"runs": [{**RUN, "id": "run_2"}]}, "a: the client was told something else"),
        ({"runs": [RUN, {**RUN, "key": "b"}]}, "b: a run that nobody asked for"),
        ({"left_open": {"steps are still open": 1}}, "1 steps are still open"),
    ],
)
def test_the_reckoning_finds_each_fault(changed: dict[str, Any], fault: str) -> None:
    assert fault in reckon(**changed)


def reckon(
    *,
    runs: list[dict[str, Any]] | None = None,
    answers: dict[str, Any] | None = None,
    seen: list[Seen] | None = None,
    left_open: dict[str, int] | None = None,
) -> list[str]:
    """The faults of a story that is true but for what is given."""
    return find_faults(
        asked=["a"],
        answers={"a": copy.deepcopy(RUN)} if answers is None else answers,
        kept=Kept([RUN] if runs is None else runs, left_open or {"runs are still open": 0}),
        seen=[SEEN] if seen is None else seen,
    )
