"""The kill switch while twenty runs are at work: all of it ends at once, below them too."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.proof.client import Client, Reply
from tests.proof.crowd import wait_until
from tests.proof.instance import Instance
from tests.proof.outside import Outside

pytestmark = pytest.mark.proof

RUNS, TAKES_MS, WITHIN = 20, 5000, 1.0
LOOKUP = {
    "name": "lookup",
    "description": "Looks up the stock of an article.",
    "input_schema": {
        "type": "object",
        "properties": {"article": {"type": "string", "description": "The article's name."}},
        "required": ["article"],
        "additionalProperties": False,
    },
}
QUESTION = {"question": 'Look up the stock of the article "bolt"'}
_RUNS = """
select r.status, r.output, extract(epoch from r.finished_at)::float as ended
from runs r join agents a on a.id = r.agent_id where a.slug = any(%s) and r.status <> 'denied'
"""
_STEPS = """
select s.status, s.kind from steps s join runs r on r.id = s.run_id
join agents a on a.id = r.agent_id where a.slug = any(%s)
"""


def test_the_kill_switch_ends_every_run_of_an_agent_within_a_second(
    instance: Instance, client: Client, outside: Outside, slug: str
) -> None:
    client.make_http_agent(slug, f"{outside.url}?delay_ms={TAKES_MS}")
    with ThreadPoolExecutor(RUNS) as crowd:
        asked = [crowd.submit(client.invoke, slug, {}) for _ in range(RUNS)]
        waiting = [client.invoke(slug, {}, mode="async").body["id"] for _ in range(RUNS // 2)]
        killed, stopped = kill(client, outside, slug, at_work=RUNS)
        refused = [client.invoke(slug, {}) for _ in range(3)]
        replies = answers(asked)

    assert stopped == len(asked) + len(waiting)
    assert [reply.body["reason"] for reply in refused] == ["agent_suspended"] * 3
    assert {reply.body["status"] for reply in replies} == {"cancelled"}
    assert {client.get(f"/v1/runs/{run}")["status"] for run in waiting} == {"cancelled"}
    check(instance, outside, killed, [slug], runs=len(asked) + len(waiting))


def test_killing_an_agent_ends_what_it_has_others_do(
    instance: Instance, client: Client, outside: Outside, slug: str
) -> None:
    below = f"{slug}-below"
    client.make_http_agent(below, f"{outside.url}?delay_ms={TAKES_MS}", capabilities=[LOOKUP])
    skill = {"runtime": "builtin", "config": {"skill": "concierge"}}
    client.post("/v1/agents", {"name": slug, "slug": slug, **skill})
    client.post(f"/v1/agents/{below}/grants", {"caller": slug, "tools": ["*"]})
    with ThreadPoolExecutor(RUNS) as crowd:
        asked = [crowd.submit(client.invoke, slug, QUESTION) for _ in range(RUNS)]
        killed, stopped = kill(client, outside, slug, at_work=RUNS)
        replies = answers(asked)

    assert stopped == 2 * RUNS
    assert {reply.body["status"] for reply in replies} == {"cancelled"}
    check(instance, outside, killed, [slug, below], runs=2 * RUNS)


def test_without_the_kill_switch_the_same_runs_succeed(
    client: Client, outside: Outside, slug: str
) -> None:
    """The control: nothing but the kill switch ends them."""
    client.make_http_agent(slug, f"{outside.url}?delay_ms={TAKES_MS}")
    with ThreadPoolExecutor(RUNS) as crowd:
        replies = answers([crowd.submit(client.invoke, slug, {}) for _ in range(RUNS)])

    assert {reply.body["status"] for reply in replies} == {"succeeded"}


def kill(client: Client, outside: Outside, agent: str, *, at_work: int) -> tuple[float, int]:
    """Throw the switch once so many are at work outside; when, and how many runs it stopped."""
    wait_until(lambda: len(outside.seen()) >= at_work, within=60, what="all are at work")
    killed = time.time()
    stopped: int = client.post(f"/v1/agents/{agent}/kill")["stopped_runs"]
    return killed, stopped


def answers(asked: list[Future[Reply]]) -> list[Reply]:
    return [future.result(timeout=120) for future in asked]


def check(
    instance: Instance, outside: Outside, killed: float, agents: list[str], *, runs: int
) -> None:
    """All was cancelled within a second, nothing began later, and no late answer counts."""
    with instance.database() as database:
        rows = database.execute(_RUNS, [agents]).fetchall()
        steps = database.execute(_STEPS, [agents]).fetchall()
    last = max(row["ended"] for row in rows) - killed
    begun = max((one.at for one in outside.seen()), default=killed) - killed
    print(
        f"\nkill switch: {len(rows)} runs ended within {last * 1000:.0f} ms; the last request"
        f" outside began {begun * 1000:.0f} ms after it"
    )
    assert len(rows) == runs
    assert [row for row in rows if row["status"] != "cancelled" or row["output"]] == []
    assert last <= WITHIN
    assert begun <= WITHIN
    assert {step["status"] for step in steps if step["kind"] != "work"} == {"discarded"}
