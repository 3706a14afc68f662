"""An org whose policy never ends is denied in time, and costs the others nothing; over HTTP."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.policies.engine.rego import ALLOW, ENDLESS
from tests.proof.client import Client
from tests.proof.instance import Instance

pytestmark = pytest.mark.proof

CALLS, WARM = 2000, 60
THREADS, PAUSE = 4, 0.05
# One that never ended on any call would be refused when it is saved.
CLEVER: Final = ENDLESS.replace(
    'deny contains "x" if {', 'deny contains "x" if {\n    input.context.input.text == "hello"'
)
OWN: Final = Path("apps/policies/library/role_and_project.rego").read_text()


def test_who_has_an_endless_policy_is_denied_and_disturbs_nobody(
    instance: Instance, client: Client, slug: str
) -> None:
    """Given an org with a policy of its own, when another org calls as fast with a policy that
    never ends as it did with one that allows, then no call here is denied, and p95 is printed.
    """
    other, mine = instance.make_org(slug), client
    other.make_agent("echo", "builtin", {"skill": "echo"})
    good, endless = policy(other, ALLOW), policy(other, CLEVER)
    own = policy(mine, OWN)
    with attached(mine, own):
        times(mine, WARM)
        with attached(other, good), asking(other) as allowed:
            beside_good = times(mine, CALLS)
        with attached(other, endless), asking(other) as denied:
            beside_endless = times(mine, CALLS)
        alone = times(mine, CALLS)
    first = sorted(denied.taken)[-1] * 1000
    p95 = [statistics.quantiles(taken, n=20)[-1] * 1000 for taken in (beside_good, beside_endless)]
    print(
        f"\necho under a policy: p95 {statistics.quantiles(alone, n=20)[-1] * 1000:.1f} ms alone, "
        f"{p95[0]:.1f} beside another org ({dict(allowed.statuses)}), {p95[1]:.1f} beside its "
        f"endless policy ({dict(denied.statuses)}): ratio {p95[1] / p95[0]:.2f}; "
        f"the slowest denial took {first:.0f} ms, p50 {statistics.median(denied.taken) * 1000:.0f}"
    )
    assert set(allowed.statuses) == {"succeeded"}
    assert set(denied.statuses) == {"policy_unavailable"}


def policy(client: Client, rego: str) -> str:
    """A policy in force that is attached nowhere yet."""
    name = f"Beside {time.monotonic_ns()}"
    made = client.post("/v1/policies", {"name": name, "rego_text": rego})
    client.post(f"/v1/policies/{made['id']}/activate")
    return str(made["id"])


@contextmanager
def attached(client: Client, policy: str) -> Iterator[None]:
    """The policy counts for every call of its org for as long as the block lasts."""
    made = client.post(f"/v1/policies/{policy}/attachments", {"scope": "org"})
    try:
        yield
    finally:
        gone = client.ask("DELETE", f"/v1/policies/{policy}/attachments/{made['id']}")
        assert gone.status == 204, gone


def times(client: Client, number: int) -> list[float]:
    """Seconds that each of so many calls took, one after the other; none may be denied."""
    taken = []
    for _ in range(number):
        began = time.perf_counter()
        reply = client.invoke("echo", {"text": "hello"})
        taken.append(time.perf_counter() - began)
        assert (reply.status, reply.body["status"]) == (200, "succeeded"), reply
    return taken


class Asking:
    """What became of the calls of the other org, and how long each took."""

    def __init__(self, client: Client) -> None:
        self.client, self.done = client, threading.Event()
        self.statuses, self.taken = Counter[str](), list[float]()

    def go(self) -> None:
        while not self.done.is_set():
            began = time.perf_counter()
            body = self.client.invoke("echo", {"text": "hello"}).body
            self.taken.append(time.perf_counter() - began)
            self.statuses[str(body.get("reason") or body.get("status"))] += 1
            self.done.wait(PAUSE)


@contextmanager
def asking(client: Client) -> Iterator[Asking]:
    """The other org calls from some threads for as long as the block lasts."""
    asked = Asking(client)
    threads = [threading.Thread(target=asked.go) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        asked.done.set()
        for thread in threads:
            thread.join()
