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
from config.settings.parts.policies import POLICY_SECONDS as DEADLINE
from tests.policies.engine.rego import (
    ALLOW,
    DENY,
    ENDLESS,
    ENOUGH,
    PATIENT,
    answers_nothing,
    engine,
    fake,
    text,
)

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
        seconds = DEADLINE if manner in {"hung", "half"} else PATIENT
        verdict = engine(pool, seconds=seconds).evaluate([text(ALLOW)], INVOKE)
        assert (verdict.result, verdict.opinions[0].flaw) == ("unavailable", flaw)


@pytest.mark.parametrize("manner", ["garbage", "absent"])
def test_an_engine_that_fails_is_no_flaw_of_a_text(manner: str) -> None:
    with closing(Pool(2, fake(manner))) as pool:
        answers_nothing(engine(pool, seconds=PATIENT))


def test_an_engine_that_was_killed_is_replaced(pool: Pool) -> None:
    asked = engine(pool, seconds=PATIENT)
    assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"
    before = set(pids(pool))
    for child in list(pool._children):
        os.kill(child.pid, signal.SIGKILL)
        child._process.wait(5)
    assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"
    assert not before & set(pids(pool))


def test_a_child_that_dies_at_work_denies_and_is_replaced() -> None:
    with closing(Pool(2)) as pool:
        asked = engine(pool, seconds=PATIENT)
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
        asked = engine(pool, standing=standing, seconds=ENOUGH)
        assert asked.evaluate([text(ALLOW)], INVOKE).result == "allow"
        verdict = asked.evaluate([text(ENDLESS), text(ALLOW)], INVOKE)
        assert [opinion.result for opinion in verdict.opinions] == ["unavailable", "unavailable"]
        assert verdict.opinions[0].flaw == "It doesn't come to an end in time."
        assert verdict.opinions[1].flaw.startswith("It was not evaluated: another policy")

        until_idle(pool, 2)
        before = set(pids(pool))
        verdict = asked.evaluate([text(ENDLESS), text(ALLOW)], INVOKE)
        assert [opinion.result for opinion in verdict.opinions] == ["unavailable", "allow"]
        assert verdict.opinions[0].flaw.startswith("It was put aside for a while")
        assert set(pids(pool)) >= before  # nobody was killed: it wasn't evaluated

        other_org = engine(pool, "globex", standing, PATIENT)
        assert other_org.evaluate([text(ALLOW), text(DENY)], INVOKE).result == "deny"

        until_idle(pool, 2)
        now[0] += 2
        assert "an end in time" in asked.evaluate([text(ENDLESS)], INVOKE).opinions[0].flaw


def test_a_text_that_eats_memory_is_stopped_by_its_limit(pool: Pool) -> None:
    verdict = engine(pool, seconds=PATIENT).evaluate([text(MEMORY)], INVOKE)
    assert (verdict.result, verdict.opinions[0].flaw) == (
        "unavailable",
        "The engine broke over it, or it takes too much memory.",
    )
    assert engine(pool, seconds=PATIENT).evaluate([text(ALLOW)], INVOKE).result == "allow"


def test_an_org_holds_half_of_the_children_and_leaves_the_others() -> None:
    with closing(Pool(4)) as pool, ExitStack() as held:
        until_all_started(pool, 4)
        for _ in range(2):
            held.enter_context(holding(pool, "acme"))
        with pytest.raises(NoChildError):
            pool.use("acme", lambda child, until: None, seconds=0.01)
        for org in ("globex", "third"):
            held.enter_context(holding(pool, org))
        with pytest.raises(NoChildError):
            pool.use("fourth", lambda child, until: None, seconds=0.01)
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


def test_children_are_started_as_they_are_needed_with_two_to_spare() -> None:
    with closing(Pool(4)) as pool:
        assert pids(pool) == []
        asked = engine(pool, seconds=PATIENT)
        for _ in range(5):
            asked.evaluate([text(ALLOW)], INVOKE)
            until_started(pool)
        assert 2 <= len(pids(pool)) <= 3


def test_the_last_idle_child_is_for_an_org_that_has_none_and_lost_none() -> None:
    with closing(Pool(4)) as pool, ExitStack() as held:
        until_all_started(pool, 3)
        held.enter_context(holding(pool, "acme"))
        held.enter_context(holding(pool, "third"))
        with pytest.raises(NoChildError):
            pool.use("acme", lambda child, until: None, seconds=0.01)
        assert pool.use("globex", lambda child, until: "mine", seconds=0.01) == "mine"

        pool._lost_until["globex"] = time.monotonic() + 60
        with pytest.raises(NoChildError):
            pool.use("globex", lambda child, until: None, seconds=0.01)
        pool._lost_until["globex"] = time.monotonic() - 1
        assert pool.use("globex", lambda child, until: "again", seconds=0.01) == "again"


def test_an_org_whose_work_ended_with_its_child_is_remembered(pool: Pool) -> None:
    def fail(child: Child, until: float) -> None:
        raise ChildFailure("late")

    with pytest.raises(ChildFailure):
        pool.use("acme", fail, seconds=5)
    assert pool._has_lost("acme") and not pool._has_lost("globex")


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


def load(child: Child, rego: str) -> None:
    request = {"op": "load", "digest": "d", "rego": rego}
    assert child.ask(request, until=time.monotonic() + PATIENT, long=PATIENT) == {}


def test_a_long_text_is_read_once_by_a_child_that_stays_of_use(pool: Pool) -> None:
    rule = (
        'deny contains "{0}" if {{ input.subject.role == "x{0}"; not input.context.depth > {0} }}\n'
    )
    rego = "package mandate\n\nallow := true\n\n" + "".join(rule.format(i) for i in range(500))
    asked, before = engine(pool, seconds=PATIENT), set(pids(pool))
    results = [asked.evaluate([text(rego)], INVOKE).result for _ in range(3)]
    assert results == ["allow"] * 3
    assert before <= set(pids(pool))


def test_a_child_ends_with_its_socket(child: Child) -> None:
    child._socket.close()
    assert child._process.wait(5) == 0


def test_a_child_that_computes_ends_by_itself_when_nobody_kills_it(child: Child) -> None:
    load(child, ENDLESS)
    child._send({"op": "evaluate", "digests": ["d"], "seconds": 0.05}, b"{}")
    child._socket.close()
    assert child._process.wait(5) == -signal.SIGALRM


def test_who_computes_for_long_goes_on_behind_all_others(child: Child) -> None:
    load(child, ENDLESS)
    with pytest.raises(ChildFailure) as failure:
        child.ask({"op": "evaluate", "digests": ["d"]}, b"{}", until=time.monotonic() + ENOUGH)
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


def until_all_started(pool: Pool, number: int) -> None:
    """As many children, idle, and no more to come."""
    for _ in range(number):
        child = pool._try_start()
        assert child is not None
        pool._children.add(child)
        pool._idle.append(child)
    pool._size, pool._has_started = number, True


def until_idle(pool: Pool, number: int) -> None:
    with pool._turn:
        assert pool._turn.wait_for(lambda: len(pool._idle) >= number, 10)


def until_started(pool: Pool) -> None:
    """Until the child that is being started is there."""
    with pool._turn:
        assert pool._turn.wait_for(lambda: not pool._is_starting and pool._idle, 10)


def test_many_threads_get_each_their_own_answer(pool: Pool) -> None:
    """Given eight threads of four orgs with inputs of their own, then no answer is another's."""
    says = text('package mandate\n\nallow := true\n\ndeny contains sprintf("%v", [input.n])\n')
    wrong: list[object] = []

    def ask(org: int, thread: int) -> None:
        asked = engine(pool, f"org {org}", seconds=PATIENT)
        for turn in range(25):
            number = thread * 1000 + turn
            reasons = asked.evaluate([says], {"n": number}).reasons
            if reasons != (str(number),):
                wrong.append((number, reasons))

    threads = [threading.Thread(target=ask, args=(n % 4, n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
