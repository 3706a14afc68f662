"""Leases are renewed beside the work: whatever else happens in the process or to the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from apps.runs import spine
from apps.runs.models import Run
from apps.runs.services import leases
from apps.runs.services.leases import Keeper, Lease
from apps.runs.spine import Hold
from apps.runs.states import RunStatus
from apps.tenants import keys
from tests.proof.crowd import wait_until
from tests.runs.factories import admit, make_agent

WITHIN = 30.0


@pytest.fixture
def orgs(throwaway_org: Callable[[], Any]) -> list[Any]:
    """Two orgs into which the test commits, as the keeper's connection is another one."""
    return [throwaway_org(), throwaway_org()]


@pytest.fixture
def keeper() -> Keeper:
    """A keeper of the test's own that renews ten times a second."""
    return Keeper(interval=0.1)


@contextmanager
def of(org: Any) -> Iterator[None]:
    with keys.holding(org.schema, org.id):
        yield


def begin(org: Any, slug: str = "echo") -> Hold:
    """A run whose lease is about to end."""
    with of(org):
        hold = admit(make_agent(slug)).hold
        Run.objects.filter(id=hold.run_id).update(lease_until=timezone.now() + timedelta(seconds=1))
    return hold


def lease_until(org: Any, hold: Hold) -> datetime:
    with of(org):
        found = Run.objects.get(id=hold.run_id).lease_until
    assert found is not None
    return found


def is_renewed(org: Any, hold: Hold) -> bool:
    """Whether the lease is longer than any but a renewal made it."""
    return lease_until(org, hold) > timezone.now() + spine.LEASE / 2


def wait_for_renewal(org: Any, hold: Hold) -> None:
    wait_until(lambda: is_renewed(org, hold), within=WITHIN, what="the lease is renewed")


def wait_for_another(org: Any, hold: Hold) -> None:
    before = lease_until(org, hold)
    wait_until(lambda: lease_until(org, hold) > before, within=WITHIN, what="another renewal")


@contextmanager
def keep(keeper: Keeper, org: Any, hold: Hold) -> Iterator[Lease]:
    with ExitStack() as stack:
        with of(org):
            lease = stack.enter_context(keeper.keeping(hold))
        yield lease


def test_what_is_kept_is_renewed_and_what_is_not_is_not(orgs: list[Any], keeper: Keeper) -> None:
    kept, left = begin(orgs[0]), begin(orgs[0], "other")
    before = lease_until(orgs[0], left)

    with keep(keeper, orgs[0], kept) as lease:
        wait_for_renewal(orgs[0], kept)
        assert not lease.lost.is_set()

    assert lease_until(orgs[0], left) == before


@pytest.mark.parametrize("taken", ["cancelled", "claimed"])
def test_a_run_that_is_taken_away_is_lost_and_the_one_beside_it_is_kept(
    orgs: list[Any], keeper: Keeper, taken: str
) -> None:
    gone, kept = begin(orgs[0]), begin(orgs[0], "other")
    with keep(keeper, orgs[0], gone) as lost, keep(keeper, orgs[0], kept) as ours:
        wait_for_renewal(orgs[0], gone)
        assert not lost.lost.is_set()

        with of(orgs[0]):
            if taken == "cancelled":
                spine.stop_runs(
                    [gone.run_id], status=RunStatus.CANCELLED, reason="by_hand", at=timezone.now()
                )
            else:
                Run.objects.filter(id=gone.run_id).update(lease_no=2)

        assert lost.lost.wait(WITHIN)
        wait_for_another(orgs[0], kept)
        assert not ours.lost.is_set()


def test_each_org_is_renewed_with_its_own_keys(orgs: list[Any], keeper: Keeper) -> None:
    holds = [begin(org) for org in orgs]
    with ExitStack() as stack:
        kept = [
            stack.enter_context(keep(keeper, org, h)) for org, h in zip(orgs, holds, strict=True)
        ]
        for org, hold in zip(orgs, holds, strict=True):
            wait_for_renewal(org, hold)
        assert not any(lease.lost.is_set() for lease in kept)

    # The control: with the other org's keys there is no such run.
    with keep(keeper, orgs[1], holds[0]) as foreign:
        assert foreign.lost.wait(WITHIN)


def test_an_orgs_failure_keeps_no_other_org_waiting(
    orgs: list[Any], keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds, failed = [begin(org) for org in orgs], threading.Event()

    def fail_for_the_first(held: list[Hold]) -> set[Any]:
        if holds[0] in held:
            failed.set()
            raise OSError("not even a database error")
        return renew(held)

    renew = spine.renew_leases
    monkeypatch.setattr(spine, "renew_leases", fail_for_the_first)
    with keep(keeper, orgs[0], holds[0]) as first:
        assert failed.wait(WITHIN)
        with keep(keeper, orgs[1], holds[1]):
            wait_for_renewal(orgs[1], holds[1])
        assert not first.lost.is_set()


def backends(admin: Any) -> set[int]:
    """The servers of this database's connections."""
    admin.execute(
        "select pid from pg_stat_activity where datname = current_database()"
        " and usename = 'mandate_app' and query like '%renew_leases%'"
    )
    return {pid for (pid,) in admin.fetchall()}


def test_a_connection_that_is_lost_is_replaced_and_no_lease_with_it(
    orgs: list[Any], keeper: Keeper, admin_cursor: Any
) -> None:
    hold = begin(orgs[0])
    with keep(keeper, orgs[0], hold) as lease:
        wait_for_renewal(orgs[0], hold)
        first = backends(admin_cursor)
        assert first
        for pid in first:
            admin_cursor.execute("select pg_terminate_backend(%s, 30000)", [pid])

        wait_for_another(orgs[0], hold)
        assert not lease.lost.is_set()
        assert backends(admin_cursor).isdisjoint(first)


def test_leases_are_renewed_while_every_pooled_connection_is_taken(
    orgs: list[Any], keeper: Keeper, admin_cursor: Any
) -> None:
    hold = begin(orgs[0])
    connections.close_all()
    pool = connections["default"].pool
    held = [pool.getconn(30) for _ in range(pool.max_size)]
    try:
        stats = pool.get_stats()  # the control: there is none left
        assert (stats["pool_size"], stats["pool_available"]) == (pool.max_size, 0)
        with keep(keeper, orgs[0], hold):
            wait_until(
                lambda: (
                    raw_lease_until(admin_cursor, orgs[0], hold) > timezone.now() + spine.LEASE / 2
                ),
                within=WITHIN,
                what="the lease is renewed",
            )
    finally:
        for raw in held:
            pool.putconn(raw)


def raw_lease_until(admin: Any, org: Any, hold: Hold) -> datetime:
    """As the superuser sees it, without the product's connections."""
    admin.execute(f'select lease_until from "{org.schema}".runs where id = %s', [hold.run_id])
    found: datetime = admin.fetchone()[0]
    return found


def test_a_locked_row_delays_no_other_lease(
    orgs: list[Any], keeper: Keeper, admin_cursor: Any
) -> None:
    locked, free = begin(orgs[0]), begin(orgs[0], "other")
    until = lease_until(orgs[0], locked)
    admin_cursor.execute("begin")
    admin_cursor.execute(
        f'select 1 from "{orgs[0].schema}".runs where id = %s for update', [locked.run_id]
    )
    with keep(keeper, orgs[0], locked) as lease, keep(keeper, orgs[0], free):
        wait_for_renewal(orgs[0], free)
        assert lease_until(orgs[0], locked) == until
        assert not lease.lost.is_set()
        admin_cursor.execute("rollback")
        wait_for_renewal(orgs[0], locked)


def test_a_keeper_without_leases_holds_no_connection(
    orgs: list[Any], keeper: Keeper, admin_cursor: Any
) -> None:
    hold = begin(orgs[0])
    with keep(keeper, orgs[0], hold):
        wait_for_renewal(orgs[0], hold)
        assert backends(admin_cursor)
    wait_until(lambda: not backends(admin_cursor), within=WITHIN, what="the connection is closed")


def test_the_process_renews_soon_enough_for_two_renewals_to_fail() -> None:
    assert spine.LEASE.total_seconds() >= leases.INTERVAL * 3
