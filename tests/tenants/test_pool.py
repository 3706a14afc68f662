"""A pool whose connections Postgres has closed: it costs no answer at all, or an honest 503."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from apps.common import problem
from apps.tenants import keys
from apps.tenants.backend import base
from config.handler import Handler
from tests.common.exchange import Exchange
from tests.proof.crowd import wait_until

pytestmark = pytest.mark.usefixtures("committed")

handler500 = problem.server_error


def asking(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return HttpResponse("asked")


def losing(request: HttpRequest) -> HttpResponse:
    """Lose the connection between two statements."""
    asking(request)
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(pg_backend_pid())")
    return asking(request)


for view in (asking, losing):
    view.open_to_all = True  # type: ignore[attr-defined]
urlpatterns = [path(view.__name__, view) for view in (asking, losing)]


@pytest.fixture
def stale(admin_cursor: Any) -> int:
    """The whole pool at rest, its servers ended as by a restart; how many connections that is."""
    connections.close_all()
    pool = connections["default"].pool
    pool.open()
    held = [pool.getconn(30) for _ in range(pool.max_size)]
    ended = [raw.info.backend_pid for raw in held]
    for raw in held:
        pool.putconn(raw)
    wait_until(
        lambda: pool.get_stats()["pool_available"] == len(held), within=30, what="all are at rest"
    )
    for pid in ended:
        admin_cursor.execute("select pg_terminate_backend(%s, 30000)", [pid])
        assert admin_cursor.fetchone()[0]
    return len(ended)


def ask(*targets: str) -> list[int | None]:
    """The statuses of requests, one after the other."""

    async def one_after_the_other() -> list[int | None]:
        application = Handler(threads=1)
        exchanges = [Exchange(f"/{target}") for target in targets]
        return [(await exchange.run(application)).status for exchange in exchanges]

    return asyncio.run(asyncio.wait_for(one_after_the_other(), 60))


@override_settings(PUBLIC_SCHEMA_URLCONF=__name__)
def test_a_restart_of_postgres_costs_requests_nothing_that_come_after_it(stale: int) -> None:
    assert ask(*["asking"] * 2 * stale) == [200] * 2 * stale


@override_settings(PUBLIC_SCHEMA_URLCONF=__name__)
def test_whoever_does_not_look_is_told_that_a_part_is_down(
    stale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the connections are stale, and a request that gets one is 503 and not 500."""
    monkeypatch.setattr(base, "is_gone", lambda raw: False)

    assert ask(*["asking"] * 2 * stale) == [503] * stale + [200] * stale


@override_settings(PUBLIC_SCHEMA_URLCONF=__name__)
def test_a_connection_lost_in_the_middle_is_a_503_and_the_next_request_has_another() -> None:
    assert ask("losing", "asking") == [503, 200]


@pytest.fixture
def only_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool of one connection: whoever asks next has the one that was given back last."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"]["pool"], "max_size", 1)
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]
    yield
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]


def keys_on() -> tuple[str, str]:
    """Both keys as the driver's own connection has them, past everything that follows them."""
    connection.ensure_connection()
    found = connection.connection.execute(
        "select current_setting('search_path'), current_setting('app.org_id', true)"
    ).fetchone()
    return found[0], found[1]


def wanted(org: Any) -> tuple[str, str]:
    return f'"{org.schema}", "public"', str(org.id)


def test_whoever_takes_a_connection_has_their_own_keys_on_it_before_all_else(
    only_one: None, throwaway_org: Callable[[], Any]
) -> None:
    one, other = throwaway_org(), throwaway_org()
    connections.close_all()
    seen = []
    for org in (one, one, other, None, one):
        schema, org_id = (org.schema, org.id) if org else (keys.PUBLIC, None)
        with keys.holding(schema, org_id):
            seen.append(keys_on())
            connections.close_all()

    assert seen == [wanted(one), wanted(one), wanted(other), ('"public"', ""), wanted(one)]


def test_keys_that_a_transaction_took_back_are_put_on_again(
    only_one: None, throwaway_org: Callable[[], Any]
) -> None:
    """What is set within a transaction is gone after its rollback, whatever was noted."""
    one, other = throwaway_org(), throwaway_org()
    connections.close_all()
    with keys.holding(one.schema, one.id):
        keys_on()
        connection.set_autocommit(False)
        with keys.holding(other.schema, other.id), connection.cursor() as cursor:
            cursor.execute("select 1")
        connection.close()  # given back in the middle of a transaction
    with keys.holding(other.schema, other.id):
        assert keys_on() == wanted(other)


def test_a_connection_that_refuses_its_keys_goes_back_and_nobody_gets_it(
    only_one: None, throwaway_org: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    org = throwaway_org()
    connections.close_all()
    keys_on()  # it rests with other keys than those asked for next
    connections.close_all()
    with monkeypatch.context() as broken:
        broken.setattr(base, "SET_KEYS", "select set_config(%s, %s, 1/0 = 1)")
        with keys.holding(org.schema, org.id), pytest.raises(DataError):
            connection.ensure_connection()
    assert connection.connection is None
    with keys.holding(org.schema, org.id):  # the pool's only place is free
        assert keys_on() == wanted(org)


def test_keys_that_cannot_be_set_say_what_kind_of_failure_it_was(admin_cursor: Any) -> None:
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    connection.search_path_set_schemas = None
    admin_cursor.execute("select pg_terminate_backend(%s, 30000)", [pid])

    with pytest.raises(OperationalError):
        connection.cursor()
    connection.close()


def test_a_driver_that_finds_its_connection_closed_is_a_part_that_is_down() -> None:
    found = problem.as_domain_error(InterfaceError("the connection is closed"))

    assert found is not None and found.status == 503
