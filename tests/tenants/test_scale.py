"""What 500 orgs cost when one of them is busy: figures for docs/scaling.md, printed as measured."""

from __future__ import annotations

import os
import random
import statistics
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from django.utils import timezone

from apps.tenants import keys, sweeping
from apps.tenants.models import OrgActivity
from apps.tenants.selectors import OrgRef
from tests.conftest import make_org

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("committed")]

ORGS, FEW, SWEEPS, SWEEP_SECONDS = 500, 10, 60, 5.0
STATEMENTS = 2_000


@pytest.fixture(scope="module")
def fleet(django_db_setup: None, django_db_blocker: Any) -> list[OrgRef]:
    with django_db_blocker.unblock():
        started = time.monotonic()
        found = [make_org(f"s{uuid.uuid4().hex[:12]}") for _ in range(ORGS)]
        print(f"\nscale: {ORGS} orgs provisioned, {(time.monotonic() - started) / ORGS:.3f} s each")
        connections.close_all()
    return found


def test_the_sweeper_takes_at_most_a_twentieth_of_a_core(fleet: list[OrgRef]) -> None:
    """CPU of the sweeper and of its database backend, over five minutes of the usual rhythm."""
    now = timezone.now()
    OrgActivity.objects.update(last_write_at=now - timedelta(days=1), next_due_at=None)
    _spread_visits(now)
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        backend = cursor.fetchone()[0]
    before, own, visits = cpu_of(backend), time.process_time(), 0
    for number in range(SWEEPS):
        at = now + timedelta(seconds=number * SWEEP_SECONDS)
        OrgActivity.objects.filter(org_id=fleet[0].id).update(last_write_at=at)
        visits += sweeping.sweep(at=at)
    used = (time.process_time() - own) + (cpu_of(backend) - before)
    share = used / (SWEEPS * SWEEP_SECONDS)
    print(f"scale: sweeper {share:.2%} of one core, {visits} visits in {SWEEPS} sweeps")
    assert visits >= SWEEPS
    assert share <= 0.05


def _spread_visits(now: Any) -> None:
    """Hourly visits fall evenly over the hour, as they do in a running installation."""
    dice = random.Random(1)
    for row in OrgActivity.objects.all():
        row.visited_at = now - timedelta(seconds=dice.uniform(0, 3600))
        row.save(update_fields=["visited_at"])


@pytest.mark.parametrize("count", [FEW, ORGS])
def test_memory_and_p50_of_a_backend(fleet: list[OrgRef], count: int) -> None:
    """One backend that has touched so many orgs; recycling is off, so that growth shows."""
    found = connections["default"].settings_dict
    with psycopg.connect(
        host=found["HOST"],
        port=found["PORT"],
        user=found["USER"],
        password=found["PASSWORD"],
        dbname=found["NAME"],
        autocommit=True,
    ) as raw:
        pid = raw.info.backend_pid
        start = private_memory(pid)
        for org in fleet[:count]:
            ask(raw, org)
        took = []
        dice = random.Random(2)
        for _ in range(STATEMENTS):
            org = dice.choice(fleet[:count])
            began = time.perf_counter()
            ask(raw, org)
            took.append(time.perf_counter() - began)
        grown = private_memory(pid) - start
    print(
        f"scale: {count} orgs: backend +{grown / 1024:.1f} MB, "
        f"p50 {statistics.median(took) * 1e6:.0f} µs"
    )
    assert len(took) == STATEMENTS


def ask(raw: psycopg.Connection[Any], org: OrgRef) -> None:
    from apps.tenants.backend.base import SET_KEYS, search_path

    raw.execute(SET_KEYS, [search_path(org.schema), str(org.id)])
    found = raw.execute("select count(*) from projects where archived_at is null").fetchone()
    assert found == (1,)


def test_a_connection_is_retired_after_a_hundred_orgs(fleet: list[OrgRef]) -> None:
    from apps.tenants.backend.base import ORGS_A_CONNECTION

    pids = set()
    for org in fleet[: ORGS_A_CONNECTION * 2]:
        with keys.holding(org.schema, org.id), connection.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            pids.add(cursor.fetchone()[0])
        connections.close_all()
    assert len(pids) >= 2


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def private_memory(pid: int) -> int:
    """Anonymous memory in KiB: what is the backend's own, shared buffers left out."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("no RssAnon")
