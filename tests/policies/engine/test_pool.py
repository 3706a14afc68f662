"""An engine that is killed, hangs, or answers nonsense denies in time, and harms nobody else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from apps.policies.engine import process
from apps.policies.engine.pool import NoChildError, Pool
from apps.policies.engine.process import Child, ChildFailure
from apps.policies.engine.samples import INVOKE
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import DEADLINE
from tests.policies.engine.rego import ALLOW, DENY, ENDLESS, engine, fake, text

MEMORY = "package mandate\n\nallow := count(numbers.range(1, 100000000)) > 1\n"
FAILED = [
    ("hung", "The engine had no time to answer."),
    ("dead", "The engine broke over it, or it takes too much memory."),
    ("garbage", "The engine's answer can't be read."),
    ("list", "The engine's answer can't be read."),
    ("wrong", "The engine's answer can't be read."),
    ("too few", "The engine's answer can't be read."),
    ("empty", "The engine's answer can't be read."),
    ("huge", "The engine's answer can't be read."),
    ("half", "The engine had no time to answer."),
    ("undefined", "The engine gave no document."),
    ("absent", "The engine isn't there, or has no time."),
]


@pytest.mark.parametrize(("manner", "flaw"), FAILED)
def test_an_engine_that_fails_denies_as_unavailable(manner: str, flaw: str) -> None:
    with closing(Pool(2, fake(manner))) as pool:
        verdict = engine(pool).evaluate([text(ALLOW)], INVOKE)
        assert (verdict.result, verdict.opinions[0].flaw) == ("unavailable", flaw)


def test_an_engine_that_was_killed_is_replaced(pool: Pool) -> None:
    asked = engine(pool)
    assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"
    for child in pids(pool):
        os.kill(child, signal.SIGKILL)
    results = {asked.evaluate([text(ALLOW)], INVOKE).result for _ in range(3)}
    assert results <= {"allow", "unavailable"}  # the new ones may need longer than the deadline
    until_started(pool)
    assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"


def test_a_child_that_dies_at_work_denies_and_is_replaced() -> None:
    with closing(Pool(2)) as pool:
        asked = engine(pool)
        assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"
        until_started(pool)
        at_work = pool._idle[-1]
        threading.Thread(target=kill_soon, args=[at_work]).start()
        verdict = asked.evaluate([text(ENDLESS)], INVOKE)
        assert (verdict.result, verdict.opinions[0].flaw) == (
            "unavailable",
            "The engine was stopped from outside.",
        )
        until_started(pool)
        assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"


def kill_soon(child: Child) -> None:
    """Once it computes."""
    while child._spent() < 0.05 and child._process.poll() is None:
        time.sleep(0.005)
    child._process.kill()


def test_an_endless_text_is_given_up_then_put_aside_and_the_others_go_on() -> None:
    now = [0.0]
    standing = Standing(lambda: now[0])
    with closing(Pool(4)) as pool:
        asked = engine(pool, standing=standing)
        assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"
        verdict = asked.evaluate([text(ENDLESS), text(ALLOW)], INVOKE)
        assert [opinion.result for opinion in verdict.opinions] == ["unavailable", "unavailable"]
        assert verdict.opinions[0].flaw == "It doesn't come to an end in time."
        assert verdict.opinions[1].flaw.startswith("It was not evaluated: another policy")

        before = set(pids(pool))
        verdict = asked.evaluate([text(ENDLESS), text(ALLOW)], INVOKE)
        assert [opinion.result for opinion in verdict.opinions] == ["unavailable", "allow"]
        assert verdict.opinions[0].flaw.startswith("It was put aside for a while")
        assert set(pids(pool)) >= before  # nobody was killed: it wasn't evaluated

        other_org = engine(pool, "globex", standing)
        assert other_org.evaluate([text(ALLOW), text(DENY)], INVOKE).result == "deny"

        now[0] += 2
        assert "an end in time" in asked.evaluate([text(ENDLESS)], INVOKE).opinions[0].flaw


def test_a_text_that_eats_memory_is_stopped_by_its_limit(pool: Pool) -> None:
    verdict = engine(pool).evaluate([text(MEMORY)], INVOKE)
    assert (verdict.result, verdict.opinions[0].flaw) == (
        "unavailable",
        "The engine broke over it, or it takes too much memory.",
    )
    assert engine(pool).evaluate([text(ALLOW)], INVOKE).result == "allow"


def test_an_org_holds_half_of_the_children_and_leaves_the_others() -> None:
    with closing(Pool(4)) as pool, ExitStack() as held:
        for _ in range(2):
            held.enter_context(holding(pool, "acme"))
        with pytest.raises(NoChildError):
            pool.use("acme", lambda child, until: None, seconds=0.01)
        for _ in range(2):
            held.enter_context(holding(pool, "globex"))
        with pytest.raises(NoChildError):
            pool.use("third", lambda child, until: None, seconds=0.01)
        held.close()
        assert pool.use("acme", lambda child, until: "mine", seconds=1) == "mine"


class holding:  # noqa: N801 - reads as a function
    """An org that has a child at work for as long as the block."""

    def __init__(self, pool: Pool, org: str) -> None:
        self._done, began = threading.Event(), threading.Event()

        def work(child: Child, until: float) -> None:
            began.set()
            self._done.wait()

        self._thread = threading.Thread(target=pool.use, args=[org, work], kwargs={"seconds": 5})
        self._thread.start()
        assert began.wait(5)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()


def test_children_are_started_as_they_are_needed_with_one_to_spare() -> None:
    with closing(Pool(4)) as pool:
        assert pids(pool) == []
        asked = engine(pool)
        for _ in range(5):
            asked.evaluate([text(ALLOW)], INVOKE)
        until_started(pool)
        assert len(pids(pool)) == 2


def test_a_pool_that_cannot_start_children_tries_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: list[str] = []

    def start() -> Child:
        starts.append("start")
        raise OSError("no process to be had")

    pool = Pool(2, start)
    asked = engine(pool)
    assert [asked.evaluate([text(ALLOW)], INVOKE).result for _ in range(3)] == ["unavailable"] * 3
    assert starts == ["start"]

    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + 2)
    asked.evaluate([text(ALLOW)], INVOKE)
    assert len(starts) == 2


@pytest.fixture
def child() -> Iterator[Child]:
    found = Child()
    found.greet()
    yield found
    found.kill()


def test_a_child_sees_no_environment_no_file_and_no_network(child: Child) -> None:
    folder = Path(f"/proc/{child.pid}")
    assert (folder / "environ").read_bytes() == b""
    assert Path("/proc/self/environ").read_bytes() != b""  # positive control
    descriptors = {p.name: str(p.readlink()) for p in (folder / "fd").iterdir()}
    assert set(descriptors) == {"0", "1", "2", "3"}
    assert descriptors["0"].startswith("socket:")
    assert descriptors["3"].endswith("(deleted)")  # the byte that says which text it is at
    assert {descriptors["1"], descriptors["2"]} == {"/dev/null"}
    limits = {
        line[:26].strip(): line[26:].split()[:2]
        for line in (folder / "limits").read_text().splitlines()
    }
    for name in ("Max open files", "Max processes", "Max file size", "Max core file size"):
        assert limits[name] == ["0", "0"], name
    assert limits["Max address space"] == [str(512 * 2**20)] * 2


def test_a_child_ends_with_its_socket(child: Child) -> None:
    child._socket.close()
    assert child._process.wait(5) == 0


def test_a_child_that_computes_ends_by_itself_when_nobody_kills_it(child: Child) -> None:
    request = {"op": "evaluate", "digests": ["d"], "texts": {"d": ENDLESS}, "seconds": 0.05}
    child._send(request, b"{}")
    child._socket.close()
    assert child._process.wait(5) == -signal.SIGALRM


def test_who_computes_for_long_goes_on_behind_all_others(child: Child) -> None:
    request = {"op": "evaluate", "digests": ["d"], "texts": {"d": ENDLESS}}
    with pytest.raises(ChildFailure) as failure:
        child.ask(request, b"{}", until=time.monotonic() + DEADLINE)
    assert (failure.value.why, failure.value.at) == ("late", 0)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == process.NICENESS
    assert not child.is_usable


def test_a_forked_process_leaves_the_children_to_its_parent() -> None:
    from apps.policies.engine import door, get_engine

    assert get_engine().evaluate([text(ALLOW)], INVOKE).result == "allow"
    before = set(pids(door._shared().pool))
    if not (pid := os.fork()):
        is_good = False
        with contextlib.suppress(BaseException):
            is_good = get_engine().evaluate([text(ALLOW)], INVOKE).result == "allow"
            is_good = is_good and not before & set(pids(door._shared().pool))
            door._close()
        os._exit(0 if is_good else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert get_engine().evaluate([text(DENY)], INVOKE).result == "deny"
    assert set(pids(door._shared().pool)) >= before


def pids(pool: Any) -> list[int]:
    return [child.pid for child in pool._children]


def until_started(pool: Pool) -> None:
    """Until the child that is being started is there."""
    with pool._turn:
        assert pool._turn.wait_for(lambda: not pool._is_starting and pool._idle, 10)
