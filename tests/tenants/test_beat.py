"""The process that sweeps: nothing that fails ends it, and readiness knows when it is silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from apps.common import valkey
from apps.common.health import DownError
from apps.tenants import beat, sweeping
from apps.tenants.models import OrgActivity
from apps.tenants.sweeping import REST

pytestmark = pytest.mark.usefixtures("committed")


class Enough(Exception):
    """Ends the loop that nothing else ends."""


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A word of this test's own, and a sweeper that has seen the database all the time."""
    monkeypatch.setattr(beat, "HEARD", f"mandate:swept:{id(monkeypatch)}")
    monkeypatch.setattr(sweeping, "_lost_sight_at", float("-inf"))
    monkeypatch.setattr(sweeping, "_steps", [])
    yield
    valkey.client().delete(beat.HEARD)


@pytest.fixture
def pooled() -> Any:
    """Gives the thread its pooled connection back, as the loop takes one of its own."""
    before = connections["default"]
    yield
    connections["default"].close()
    connections["default"] = before


def turns(number: int) -> Callable[[float], None]:
    """Sleeps so often, then ends the loop."""
    left = iter(range(number - 1))

    def sleep(seconds: float) -> None:
        if next(left, None) is None:
            raise Enough

    return sleep


def test_the_loop_outlives_a_sweep_that_fails(
    pooled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Any] = [OSError("no such thing"), OperationalError("gone"), None]
    swept: list[datetime] = []

    def sweep(*, at: datetime) -> None:
        if error := outcomes.pop(0):
            raise error
        swept.append(at)

    monkeypatch.setattr(sweeping, "sweep", sweep)
    with pytest.raises(Enough):
        beat.keep_sweeping(turns(3))
    assert (outcomes, len(swept)) == ([], 1)
    assert valkey.client().exists(beat.HEARD)


def test_its_connection_is_beside_the_pool_and_waits_for_nothing_long(
    pooled: None, throwaway_org: Callable[[], Any]
) -> None:
    throwaway_org()
    connections.close_all()
    pool = connections["default"].pool
    held = [pool.getconn(30) for _ in range(pool.max_size)]
    try:
        with pytest.raises(Enough):
            beat.keep_sweeping(turns(1))
        with connections["default"].cursor() as cursor:
            cursor.execute("select current_setting('lock_timeout')")
            assert cursor.fetchone() == ("2s",)
    finally:
        for raw in held:
            pool.putconn(raw)
    assert valkey.client().exists(beat.HEARD)


def test_readiness_hears_of_a_whole_sweep_and_of_nothing_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DownError):
        beat.ask_beat()
    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "sweep", lambda at: 1 / 0)
        beat.sweep_once()
    with pytest.raises(DownError):
        beat.ask_beat()

    beat.sweep_once()
    beat.ask_beat()
    assert 0 < valkey.client().ttl(beat.HEARD) <= beat.HEARD_FOR


def test_a_broker_that_is_down_stops_no_sweep(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    swept: list[datetime] = []
    sweeping._steps.append(swept.append)
    OrgActivity.objects.update(next_due_at=timezone.now() - timedelta(seconds=1))

    beat.sweep_once()
    assert swept


def test_a_connection_that_is_lost_is_an_end_of_sight_and_a_failing_step_is_none(
    throwaway_org: Callable[[], Any], admin_cursor: Any
) -> None:
    orgs = [throwaway_org(), throwaway_org()]
    rows = OrgActivity.objects.filter(org_id__in=[org.id for org in orgs])
    OrgActivity.objects.update(
        last_write_at=timezone.now() - timedelta(days=1), visited_at=timezone.now()
    )
    seen: list[datetime] = []

    def fail(at: datetime) -> None:
        seen.append(at)
        raise LookupError("only this step")

    def lose(at: datetime) -> None:
        seen.append(at)
        pid = connections["default"].connection.info.backend_pid
        admin_cursor.execute("select pg_terminate_backend(%s, 30000)", [pid])
        rows.count()

    for step, visits, in_sight in ((fail, 2, True), (lose, 1, False)):
        seen.clear()
        rows.update(next_due_at=timezone.now() - timedelta(seconds=1))
        sweeping._steps[:] = [step]
        beat.sweep_once()
        assert len(seen) == visits
        assert (sweeping.in_sight_for() == REST) is in_sight
