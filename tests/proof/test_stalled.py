"""A worker that stalls past its lease and wakes up: nothing that it brings back counts.

The same story is told twice, in two orgs: with the fence in the SQL functions, and without it.
"""

from __future__ import annotations

import signal
from typing import Any

import psycopg
import pytest

from tests.proof.accounts import find_faults, read_kept
from tests.proof.client import Client, Object
from tests.proof.crowd import wait_until
from tests.proof.instance import Instance
from tests.proof.outside import Outside

pytestmark = pytest.mark.proof

FENCE = " and lease_no = p_lease_no"
FENCED = ("end_step", "close_run")


def test_what_a_stalled_worker_brings_back_is_discarded(
    instance: Instance, outside: Outside, slug: str
) -> None:
    client = instance.make_org(slug)
    with instance.database(slug) as database:
        faults, run, steps = stall(instance, client, outside, database, slug)
        fence = source_of(database, "close_run").count(FENCE)

    print(f"\nstalled: settled by attempt {run['output']['attempt']} of {run['attempt']}")
    assert fence == 1
    assert faults == []
    assert (run["attempt"], run["output"]["attempt"]) == (2, 2)
    assert [(step["attempt"], step["status"]) for step in steps] == [
        (1, "discarded"),
        (2, "succeeded"),
    ]


def test_without_the_fence_the_stalled_worker_settles(
    instance: Instance, outside: Outside, slug: str
) -> None:
    """The control: the same reckoning finds the fault that the fence prevents."""
    client = instance.make_org(slug)
    with instance.database(slug) as database:
        remove_fences(database)
        faults, run, _ = stall(instance, client, outside, database, slug)

    print(f"\nstalled, no fence: settled by attempt {run['output']['attempt']} of {run['attempt']}")
    assert (run["attempt"], run["output"]["attempt"]) == (2, 1)
    assert f"{slug}: settled by attempt 1, not by 2" in faults


def stall(
    instance: Instance,
    client: Client,
    outside: Outside,
    database: psycopg.Connection[dict[str, Any]],
    name: str,
) -> tuple[list[str], Object, list[Object]]:
    """Stop the worker that has a run until another has it too, then let the first one come back.

    Returns what the reckoning finds, the run and its steps.
    """
    client.make_http_agent(name, outside.url)
    client.make_agent("echo", "builtin", {"skill": "echo"})
    input = {"token": name, "gate_1": f"{name}-first", "gate_2": f"{name}-second"}
    run_id = client.invoke(name, input, mode="async", key=name).body["id"]
    wait_until(lambda: len(outside.seen(name)) == 1, within=30, what="a worker has the run")
    stalled = instance.holder_of(outside.seen(name)[0].peer)
    stalled.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: len(outside.seen(name)) == 2, within=60, what="another took it over")
        outside.open(f"{name}-first")
    finally:
        stalled.send_signal(signal.SIGCONT)
    # The other worker still waits outside: who else could carry this out but the one that is back?
    client.insist("echo", {"text": "hello"}, mode="async", key=f"{name}-echo", within=60)
    outside.open(f"{name}-second")
    outcome = client.insist(name, input, mode="async", key=name, within=60)
    assert outcome.run["id"] == run_id
    steps = client.get(f"/v1/runs/{run_id}/steps")["results"]
    faults = find_faults(
        asked=[name],
        answers={name: outcome.run},
        kept=read_kept(database, name),
        seen=outside.seen(name),
    )
    return faults, outcome.run, steps


def source_of(database: psycopg.Connection[dict[str, Any]], function: str) -> str:
    """The function as the org's schema has it."""
    row = database.execute(
        "select pg_get_functiondef(p.oid) as source from pg_proc p"
        " join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = current_schema and p.proname = %s",
        [function],
    ).fetchone()
    assert row is not None
    source: str = row["source"]
    return source


def remove_fences(database: psycopg.Connection[dict[str, Any]]) -> None:
    for function in FENCED:
        source = source_of(database, function)
        assert source.count(FENCE) == 1
        database.execute(source.replace(FENCE, ""))
        assert FENCE not in source_of(database, function)
