"""One Idempotency-Key, a hundred times at once: one run and one effect."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.proof.accounts import find_faults, read_kept
from tests.proof.client import Client, Reply
from tests.proof.instance import Instance
from tests.proof.outside import Outside

pytestmark = pytest.mark.proof

TIMES = 100


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_key_sent_a_hundred_times_at_once_has_one_run_and_one_effect(
    instance: Instance, outside: Outside, slug: str, mode: str
) -> None:
    client = instance.make_org(slug)
    client.make_http_agent(slug, outside.url)
    input = {"token": slug, "delay_ms": 500}

    replies = at_once(client, slug, input, mode=mode, keys=[slug] * TIMES)

    told = Counter(reply.status for reply in replies)
    outcome = client.insist(slug, input, mode=mode, key=slug, within=60)
    with instance.database(slug) as database:
        kept = read_kept(database, slug)
    print(f"\nonce: {mode}: {dict(told)}")
    assert set(told) <= ({200, 409} if mode == "sync" else {200, 202})
    assert {reply.body["id"] for reply in replies if reply.status < 300} == {outcome.run["id"]}
    assert {reply.body["code"] for reply in replies if reply.status == 409} <= {
        "idempotency_in_flight"
    }
    assert (
        find_faults(asked=[slug], answers={slug: outcome.run}, kept=kept, seen=outside.seen()) == []
    )
    assert (len(kept.runs), len(outside.seen())) == (1, 1)


def test_a_hundred_keys_have_a_hundred_runs_and_effects(
    instance: Instance, outside: Outside, slug: str
) -> None:
    """The control: the same requests, counted the same way, each with a key of its own."""
    client = instance.make_org(slug)
    client.make_http_agent(slug, outside.url)
    keys = [f"{slug}-{number}" for number in range(TIMES)]

    replies = at_once(client, slug, {"token": slug}, mode="sync", keys=keys)

    with instance.database(slug) as database:
        kept = read_kept(database, slug)
    assert {reply.status for reply in replies} == {200}
    assert (len(kept.runs), len(outside.seen())) == (TIMES, TIMES)
    found = find_faults(asked=[slug], answers={}, kept=kept, seen=outside.seen())
    assert f"{slug}: doubled: {TIMES} effects" in found


def at_once(
    client: Client, agent: str, input: dict[str, object], *, mode: str, keys: list[str]
) -> list[Reply]:
    """One request for each key, all let go at the same moment."""
    start = Barrier(len(keys))

    def one(key: str) -> Reply:
        start.wait(30)
        return client.invoke(agent, input, mode=mode, key=key)

    with ThreadPoolExecutor(len(keys)) as crowd:
        return list(crowd.map(one, keys))
