"""The kill switch while twenty runs are at work: all of it ends at once, below them too.

What nothing would have begun anyway shows nothing: agents that call outside again and again, and
an endpoint whose failures are repeated, go on for seconds where nobody throws the switch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.proof.client import Client, Object, Reply
from tests.proof.crowd import wait_until
from tests.proof.instance import Instance
from tests.proof.outside import Outside, Seen

pytestmark = pytest.mark.proof

RUNS, TAKES_MS, WITHIN = 20, 5000, 1.0
CALLS, CALL_MS = 100, 100
FAILS_MS = 1500
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
select s.status, s.kind, s.finished_at from steps s join runs r on r.id = s.run_id
join agents a on a.id = r.agent_id where a.slug = any(%s)
"""

Make = Callable[[Client, Outside, str], Object]


def slow(client: Client, outside: Outside, slug: str) -> Object:
    """One call that takes seconds."""
    return client.make_http_agent(slug, f"{outside.url}?delay_ms={TAKES_MS}")


def busy(client: Client, outside: Outside, slug: str) -> Object:
    """One short call after the other, for ten seconds."""
    config = {"url": f"{outside.url}?delay_ms={CALL_MS}", "calls": CALLS}
    return client.make_agent(slug, "busy", config)


def failing(client: Client, outside: Outside, slug: str) -> Object:
    """A call that fails slowly and is repeated."""
    return client.make_http_agent(slug, f"{outside.url}?delay_ms={FAILS_MS}&status=503")


@dataclass(frozen=True)
class Work:
    """Twenty runs of one agent in web, and half as many more for the workers."""

    client: Client
    outside: Outside
    agent: str
    sync: list[Future[Reply]]
    waiting: list[str]

    def wait_until_at_work(self) -> None:
        """All of web's are outside, and at least one of the workers'."""
        wait_until(
            lambda: len(self.runs("sync")) == RUNS and bool(self.runs("async")),
            within=60,
            what="all are at work",
        )

    def runs(self, token: str) -> set[str]:
        return {one.run for one in self.outside.seen(token)}

    def begun_after(self, moment: float) -> list[Seen]:
        return [one for one in self.outside.seen() if one.at > moment + WITHIN]

    def kill(self) -> tuple[float, int]:
        """Throw the switch; when, and how many runs it stopped."""
        killed = time.time()
        stopped: int = self.client.post(f"/v1/agents/{self.agent}/kill")["stopped_runs"]
        return killed, stopped


def begin(crowd: ThreadPoolExecutor, client: Client, outside: Outside, agent: str) -> Work:
    asked = [crowd.submit(client.invoke, agent, {"token": "sync"}) for _ in range(RUNS)]
    waiting = [
        client.invoke(agent, {"token": "async"}, mode="async").body["id"] for _ in range(RUNS // 2)
    ]
    work = Work(client, outside, agent, asked, waiting)
    work.wait_until_at_work()
    return work


@pytest.mark.parametrize(("make", "goes_on"), [(slow, 0.0), (busy, 3.0), (failing, 5.0)])
def test_the_kill_switch_ends_every_run_of_an_agent_within_a_second(
    instance: Instance, client: Client, outside: Outside, slug: str, make: Make, goes_on: float
) -> None:
    make(client, outside, slug)
    with ThreadPoolExecutor(RUNS) as crowd:
        work = begin(crowd, client, outside, slug)
        killed, stopped = work.kill()
        refused = [client.invoke(slug, {}) for _ in range(3)]
        replies = answers(work.sync)
    time.sleep(max(0.0, killed + goes_on - time.time()))

    assert stopped == len(work.sync) + len(work.waiting)
    assert [reply.body["reason"] for reply in refused] == ["agent_suspended"] * 3
    assert {reply.body["status"] for reply in replies} == {"cancelled"}
    assert {client.get(f"/v1/runs/{run}")["status"] for run in work.waiting} == {"cancelled"}
    check(instance, work, killed, [slug], runs=stopped, several=make is busy)


@pytest.mark.parametrize("make", [busy, failing])
def test_without_it_the_same_runs_go_on_in_web_and_workers(
    client: Client, outside: Outside, slug: str, make: Make
) -> None:
    """The control: the next calls and the repeated ones are those that the switch prevents."""
    make(client, outside, slug)
    with ThreadPoolExecutor(RUNS) as crowd:
        work = begin(crowd, client, outside, slug)
        moment = time.time()
        wait_until(
            lambda: {one.token for one in work.begun_after(moment)} == {"sync", "async"},
            within=30,
            what="requests go on",
        )
        late = len(work.begun_after(moment))
        work.kill()
        answers(work.sync)
    print(f"\nkill switch, not thrown: {make.__name__}: {late} requests began after a second")
    assert late > 0


def test_killing_an_agent_ends_what_it_has_others_do(
    instance: Instance, client: Client, outside: Outside, slug: str
) -> None:
    below = f"{slug}-below"
    client.make_http_agent(below, f"{outside.url}?delay_ms={TAKES_MS}", capabilities=[LOOKUP])
    client.make_agent(slug, "builtin", {"skill": "concierge"})
    client.post(f"/v1/agents/{below}/grants", {"caller": slug, "tools": ["*"]})
    with ThreadPoolExecutor(RUNS) as crowd:
        asked = [crowd.submit(client.invoke, slug, QUESTION) for _ in range(RUNS)]
        work = Work(client, outside, slug, asked, [])
        wait_until(lambda: len(work.runs("")) == RUNS, within=60, what="all are at work")
        killed, stopped = work.kill()
        replies = answers(asked)

    assert stopped == 2 * RUNS
    assert {reply.body["status"] for reply in replies} == {"cancelled"}
    check(instance, work, killed, [slug, below], runs=2 * RUNS)


def test_without_the_kill_switch_the_same_runs_succeed(
    client: Client, outside: Outside, slug: str
) -> None:
    """The control: nothing but the kill switch ends them."""
    slow(client, outside, slug)
    with ThreadPoolExecutor(RUNS) as crowd:
        replies = answers([crowd.submit(client.invoke, slug, {}) for _ in range(RUNS)])

    assert {reply.body["status"] for reply in replies} == {"succeeded"}


def answers(asked: list[Future[Reply]]) -> list[Reply]:
    return [future.result(timeout=120) for future in asked]


def check(
    instance: Instance,
    work: Work,
    killed: float,
    agents: list[str],
    *,
    runs: int,
    several: bool = False,
) -> None:
    """All was cancelled within a second, nothing began later, and no late answer counts."""
    with instance.database() as database:
        rows = database.execute(_RUNS, [agents]).fetchall()
        steps = database.execute(_STEPS, [agents]).fetchall()
    last = max(row["ended"] for row in rows) - killed
    begun = max(one.at for one in work.outside.seen()) - killed
    print(
        f"\nkill switch: {len(rows)} runs ended within {last * 1000:.0f} ms; the last request"
        f" outside began {begun * 1000:.0f} ms after it"
    )
    assert len(rows) == runs
    assert [row for row in rows if row["status"] != "cancelled" or row["output"]] == []
    assert last <= WITHIN
    assert work.begun_after(killed) == []
    assert [step for step in steps if step["finished_at"] is None] == []
    outside = [step["status"] for step in steps if step["kind"] != "work"]
    assert outside.count("discarded") >= RUNS
    # Only who makes one call after the other has any that were over before.
    assert set(outside) == ({"discarded", "succeeded"} if several else {"discarded"})
