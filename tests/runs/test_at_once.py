"""What several do at once, committed for real in throw-away orgs: keys, locks, connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.runtimes.base import runtime_of
from apps.agents.services import agents
from apps.orgs.errors import IdempotencyInFlight
from apps.runs import spine
from apps.runs.models import Run
from apps.runs.services import control
from apps.runs.services.invoke import Ask, invoke
from apps.runs.spine import Ending, Hold
from apps.runs.states import RunStatus
from apps.tenants import keys
from tests.orgs.conftest import owner_of
from tests.runs.factories import BY, admit, child_of, grant, make_agent

CROWD = 20


@pytest.fixture
def place(throwaway_org: Callable[[], Any]) -> Iterator[Any]:
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        yield org


def at_once(place: Any, count: int, act: Callable[[int], Any]) -> list[Any]:
    """What each of so many threads gets, all of them let go together."""
    gate = threading.Barrier(count)

    def run(number: int) -> Any:
        with keys.holding(place.schema, place.id):
            try:
                gate.wait(30)
                return act(number)
            finally:
                connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_one_key_twenty_times_at_once_is_one_run(place: Any) -> None:
    agent = make_agent("echo")

    found = at_once(place, CROWD, lambda n: admit(agent, key="k"))
    outcomes = sorted(admission.outcome for admission in found)
    assert outcomes == ["admitted"] + ["in_flight"] * (CROWD - 1)
    assert len({admission.run_id for admission in found}) == Run.objects.count() == 1
    # The control: without a key each is a run of its own, and another body is told from the first.
    apart = at_once(place, CROWD, lambda n: admit(agent))
    assert {admission.outcome for admission in apart} == {"admitted"}
    assert Run.objects.count() == 1 + CROWD
    other = at_once(place, CROWD, lambda n: admit(agent, key="k", body=b"other"))
    assert {admission.outcome for admission in other} == {"other_body"}


def test_one_key_at_once_has_one_effect(place: Any, scripts: Any) -> None:
    effects: list[int] = []
    scripts["echo"] = lambda invocation, ctx: effects.append(1) or {}
    make_agent("echo")
    ask = Ask(agent="echo", input={}, key="k")

    def once(number: int) -> Any:
        for _ in range(100):
            try:
                return invoke(ask, caller=BY, at=timezone.now()).run.id
            except IdempotencyInFlight:
                time.sleep(0.02)
        raise AssertionError("always in flight")

    assert len(set(at_once(place, CROWD, once))) == 1
    assert (len(effects), Run.objects.count()) == (1, 1)


def test_a_connection_is_back_in_the_pool_while_a_tool_is_called(place: Any, scripts: Any) -> None:
    pool = connection.pool
    seen: dict[str, int] = {}

    def held() -> int:
        stats = pool.get_stats()
        return int(stats["pool_size"] - stats["pool_available"])

    def settles(number: int) -> int:
        """Connections go back by a thread of the pool."""
        for _ in range(200):
            if held() == number:
                break
            time.sleep(0.01)
        return held()

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        seen["before"] = held()
        ctx.call_tool(name="POST", input={}, call=call)
        seen["after"] = held()
        return {}

    def call(key: str) -> dict[str, Any]:
        seen["inside"] = settles(seen["before"] - 1)
        return {}

    scripts["echo"] = script
    make_agent("echo")
    connection.close()
    assert settles(0) == 0
    assert invoke(Ask(agent="echo", input={}), caller=BY, at=timezone.now()).run.is_closed
    assert seen == {"before": 1, "inside": 0, "after": 1}


def test_a_runtime_that_computes_long_holds_no_connection(place: Any, scripts: Any) -> None:
    held: list[bool] = []
    scripts["echo"] = lambda invocation, ctx: held.append(connection.connection is not None) or {}
    make_agent("echo")
    ask = Ask(agent="echo", input={})

    invoke(ask, caller=BY, at=timezone.now())
    runtime_of("scripted").is_long = lambda config: True  # type: ignore[method-assign]
    invoke(ask, caller=BY, at=timezone.now())
    assert held == [True, False]


def test_a_claim_and_a_suspension_wait_for_each_other(place: Any) -> None:
    owner, agent = owner_of(place), make_agent("echo")
    admit(agent, mode="async")
    suspended, go_on = threading.Event(), threading.Event()

    def suspend() -> None:
        with keys.holding(place.schema, place.id):
            with transaction.atomic():
                agents.suspend_agent(agent_id=agent.id, actor=owner.actor, at=timezone.now())
                suspended.set()
                go_on.wait(30)
            connection.close()

    thread = threading.Thread(target=suspend)
    thread.start()
    assert suspended.wait(30)
    assert spine.claim_run(at=timezone.now()) is None  # it waits for nobody, and claims nothing
    go_on.set()
    thread.join(30)
    assert spine.claim_run(at=timezone.now()) is None
    agents.activate_agent(agent_id=agent.id, actor=owner.actor, at=timezone.now())

    with transaction.atomic():
        assert spine.claim_run(at=timezone.now()) is not None
        with pytest.raises(OperationalError, match="lock timeout"):
            at_once(place, 1, lambda n: suspend_soon(agent, owner))
    assert Run.objects.get().status == "running"


def suspend_soon(agent: Agent, owner: Any) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("set local lock_timeout = '100ms'")
        agents.suspend_agent(agent_id=agent.id, actor=owner.actor, at=timezone.now())


def test_renewing_stopping_and_reaping_at_once_end_without_a_deadlock(place: Any) -> None:
    """All lock the same runs in one order: by depth, then by id."""
    top, middle, leaf = (make_agent(name) for name in ("top", "middle", "leaf"))
    grant(top, middle)
    grant(middle, leaf)
    roots = [admit(top).hold for _ in range(12)]
    mids = [child_of(root, middle).hold for root in roots]
    for mid in mids:
        child_of(mid, leaf)
    Run.objects.filter(id__in=[hold.run_id for hold in roots[::3]]).update(
        deadline_at=timezone.now() - spine.GRACE * 2
    )
    failed: list[Exception] = []

    def act(number: int) -> None:
        try:
            for _ in range(5):
                ACTS[number % 3](roots, mids)
        except OperationalError as error:
            failed.append(error)

    at_once(place, 6, act)
    assert failed == []
    assert not Run.objects.filter(agent=middle, status="running").exists()
    assert not Run.objects.filter(agent=leaf, status="running").exists()


def renew(roots: list[Hold], mids: list[Hold]) -> None:
    spine.renew_leases([*reversed(roots), *mids])


def stop(roots: list[Hold], mids: list[Hold]) -> None:
    ids = [hold.run_id for hold in reversed(mids)]
    spine.stop_runs(ids, status=RunStatus.CANCELLED, reason="agent_stopped", at=timezone.now())


def reap(roots: list[Hold], mids: list[Hold]) -> None:
    spine.reap_runs(limit=20, at=timezone.now())


ACTS = (renew, stop, reap)


def test_who_loses_a_deadlock_tries_once_more(place: Any, admin_cursor: Any) -> None:
    """Somebody locks two rows in the wrong order, and it is we whom Postgres breaks.

    Who waits looks for a deadlock once, `deadlock_timeout` after the wait began; who finds one is
    broken. Theirs is so long that they never look, and we wait only once they do: so we find it,
    however slow the machine is.
    """
    owner = owner_of(place)
    first, second = admit(make_agent("one")).hold, admit(make_agent("two")).hold
    low, high = sorted((first.run_id, second.run_id))
    theirs = admin_cursor.connection
    lock = f"select 1 from {place.schema}.runs where id = %s for no key update"
    locked, go_on = threading.Event(), threading.Event()

    def contrary() -> None:
        with theirs.transaction():
            theirs.execute("set local deadlock_timeout = '10min'")
            theirs.execute(lock, [high])
            locked.set()
            assert go_on.wait(30)
            theirs.execute(lock, [low])

    broken: list[str] = []
    real = spine.stop_runs

    def stop_both(run_ids: Any, **more: Any) -> Any:
        """What a kill locks: both, the lower first."""
        with connection.cursor() as cursor:
            cursor.execute(lock, [low])
            go_on.set()
            if not broken:
                wait_until_we_block(cursor, theirs.info.backend_pid)
        try:
            return real([low, high], **more)
        except OperationalError as error:
            broken.append(type(error.__cause__).__name__)
            raise

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(spine, "stop_runs", stop_both)
        other = pool.submit(contrary)
        assert locked.wait(30)
        run = control.cancel_run(run_id=low, actor=owner.actor, at=timezone.now())
        other.result(30)
    assert broken == ["DeadlockDetected"]
    assert run.status == "cancelled"
    assert set(Run.objects.values_list("status", flat=True)) == {"cancelled"}


def wait_until_we_block(cursor: Any, pid: int) -> None:
    """Wait until that process waits for a lock of ours."""
    for _ in range(3000):
        cursor.execute("select pg_backend_pid() = any(pg_blocking_pids(%s))", [pid])
        if cursor.fetchone()[0]:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits for us")


def test_keys_are_forgotten_as_fast_as_they_come(place: Any) -> None:
    agent, at = make_agent("echo"), timezone.now()
    for number in range(30):
        hold = admit(agent, key=f"k{number}", at=at - control.KEY_LIFE * 2).hold
        spine.close_run(hold, Ending(RunStatus.SUCCEEDED, output={}), at=at)
    still = admit(agent, key="open", at=at - control.KEY_LIFE * 2)
    new = admit(agent, key="new", at=at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "_KEYS", 7)
        patch.setattr(control, "_KEY_BATCHES", 2)
        control.forget_keys(at)
        assert Run.objects.filter(idempotency_key__startswith="k").count() == 30 - 14
        patch.setattr(control, "_KEY_BATCHES", 50)
        control.forget_keys(at)
    kept = Run.objects.filter(idempotency_key__isnull=False)
    assert set(kept.values_list("id", flat=True)) == {still.run_id, new.run_id}
    assert Run.objects.count() == 32
