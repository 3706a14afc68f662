"""No request holds a connection while its agent works: others are answered as if nobody waited."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.proof.client import Client
from tests.proof.crowd import wait_until
from tests.proof.outside import Outside

pytestmark = pytest.mark.proof

WAITING, ECHOES, TAKES = 64, 300, 5.0
TIMES = 2.0


def test_echo_is_as_fast_beside_64_runs_that_wait(
    client: Client, outside: Outside, slug: str
) -> None:
    client.make_http_agent(slug, f"{outside.url}?gate_1={slug}")
    echo_times(client, ECHOES // 3)
    before = echo_times(client, ECHOES // 2)
    started = time.monotonic()
    with ThreadPoolExecutor(WAITING) as crowd:
        asked = [crowd.submit(client.invoke, slug, {}) for _ in range(WAITING)]
        try:
            wait_until(lambda: len(outside.seen()) == WAITING, within=60, what="all of them wait")
            beside = p95(echo_times(client, ECHOES))
            still_waiting = sum(not future.done() for future in asked)
            time.sleep(max(0.0, TAKES - (time.monotonic() - started)))
        finally:
            outside.open(slug)
        replies = [future.result(timeout=60) for future in asked]
    took = time.monotonic() - started
    idle = p95(before + echo_times(client, ECHOES // 2))
    print(
        f"\nbeside {WAITING} waiting runs: echo p95 {beside * 1000:.1f} ms, idle {idle * 1000:.1f}"
        f" ms, ratio {beside / idle:.2f}; the runs took {took:.1f} s"
    )

    assert still_waiting == WAITING
    assert {reply.status for reply in replies} == {200}
    assert {reply.body["status"] for reply in replies} == {"succeeded"}
    assert beside <= TIMES * idle


def echo_times(client: Client, number: int) -> list[float]:
    """Seconds that each of so many calls took, one after the other; none may fail."""
    taken = []
    for _ in range(number):
        started = time.perf_counter()
        reply = client.invoke("echo", {"text": "hello"})
        taken.append(time.perf_counter() - started)
        assert (reply.status, reply.body["status"]) == (200, "succeeded")
    return taken


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]
