"""Many requests of two orgs at once: each sees its own rows, and the pool gets everything back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from apps.common.turns import step_aside
from apps.tenants import keys
from apps.tenants.selectors import find_org_by_slug
from config.handler import Handler
from tests.common.exchange import Exchange

pytestmark = pytest.mark.usefixtures("committed")

REQUESTS = 64
together: threading.Barrier


def looking(request: HttpRequest) -> HttpResponse:
    """Unlock, wait for the others so that all are in the middle of it, and say what is seen."""
    org: Any = request.org  # type: ignore[attr-defined]
    keys.unlock(org.id)
    step_aside()
    together.wait(30)
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('search_path'), current_setting('app.org_id', true)")
        seen = cursor.fetchone()
    return HttpResponse(f"{seen[0]}|{seen[1]}")


def peeking(request: HttpRequest) -> HttpResponse:
    """Say what is seen by a request that unlocked nothing."""
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('app.org_id', true)")
        return HttpResponse(str(cursor.fetchone()[0]))


def abandoning(request: HttpRequest) -> HttpResponse:
    """A bug: a transaction is begun and never ended."""
    transaction.atomic().__enter__()
    return peeking(request)


for view in (looking, peeking, abandoning):
    view.open_to_all = True  # type: ignore[attr-defined]
urlpatterns = [path(view.__name__, view) for view in (looking, peeking, abandoning)]


def expected(org: Any) -> bytes:
    return f'"{org.schema}", "public"|{org.id}'.encode()


async def ask(application: Handler, target: str, host: str) -> bytes:
    exchange = await Exchange(target, host=f"{host}.localhost:8000").run(application)
    assert exchange.status == 200
    return exchange.content


def ask_all(application: Handler) -> int:
    """Requests of two orgs, all in their views at once; how many saw another org or none."""
    global together
    together = threading.Barrier(REQUESTS)
    orgs = [find_org_by_slug("acme"), find_org_by_slug("globex")]
    connections.close_all()

    async def all_at_once() -> list[bytes]:
        for org in orgs:  # whose hosts are known waits without a connection
            await ask(application, "/peeking", org.slug if org else "")
        turns = [orgs[n % 2] for n in range(REQUESTS)]
        return await asyncio.gather(
            *(ask(application, "/looking", org.slug) for org in turns if org)
        )

    seen = asyncio.run(asyncio.wait_for(all_at_once(), 60))
    return sum(found != expected(orgs[n % 2]) for n, found in enumerate(seen))


def held_connections(application: Handler) -> list[Any]:
    """What each of the handler's threads still holds; a barrier makes every one of them answer."""
    pool = application._pool
    while True:
        count = len(pool._threads)
        barrier = threading.Barrier(count)
        asked = [pool.submit(held_here, barrier) for _ in range(count)]
        held = [connection for future in asked for connection in future.result(30)]
        if len(pool._threads) == count:  # it may have grown, and one thread was not asked
            return held


def held_here(barrier: threading.Barrier) -> list[Any]:
    barrier.wait(30)
    found = connections.all(initialized_only=True)
    return [each.connection for each in found if each.connection is not None]


@override_settings(ROOT_URLCONF=__name__)
def test_interleaved_requests_keep_their_orgs_and_give_every_connection_back() -> None:
    application = Handler()
    assert ask_all(application) == 0
    assert len(application._pool._threads) >= REQUESTS
    assert held_connections(application) == []
    pool = connections["default"].pool
    pool.wait(30)
    stats = pool.get_stats()
    assert stats["pool_size"] <= stats["pool_max"] == 8
    assert stats.get("requests_errors", 0) == stats.get("requests_waiting", 0) == 0
    assert keys.current() == keys.NONE


@override_settings(ROOT_URLCONF=__name__)
def test_with_one_context_for_all_they_do_not() -> None:
    """The mutation control: keys that all requests share are those of whoever came last."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keys, "_keys", Shared())
        assert ask_all(Handler()) == REQUESTS // 2


class Shared:
    """A variable of the process where there should be one a request."""

    held = keys.NONE

    def get(self) -> keys.Keys:
        return self.held

    def set(self, value: keys.Keys) -> None:
        self.held = value


def test_held_connections_are_seen() -> None:
    """The control of "no idle thread holds one"."""
    application = Handler()
    application._pool.submit(lambda: connection.ensure_connection()).result(30)
    assert len(held_connections(application)) == 1
    application._pool.submit(connections.close_all).result(30)
    assert held_connections(application) == []


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("target", ["/looking", "/abandoning"])
def test_the_next_request_of_a_thread_finds_nothing_of_the_last(target: str) -> None:
    global together
    together = threading.Barrier(1)
    application = Handler(threads=1)

    async def one_after_the_other() -> list[bytes]:
        return [await ask(application, each, "acme") for each in (target, "/peeking", "/peeking")]

    assert asyncio.run(one_after_the_other())[1:] == [b"", b""]
    assert held_connections(application) == []
    in_transaction = application._pool.submit(lambda: connection.in_atomic_block).result(30)
    assert in_transaction is False


@override_settings(ROOT_URLCONF=__name__)
def test_with_the_keys_left_turned_the_next_one_would_find_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: without contexts of their own, and without the host turning its key anew."""
    global together
    together = threading.Barrier(1)
    application = Handler(threads=1)
    acme = find_org_by_slug("acme")
    assert acme
    connections.close_all()

    def bare(self: Handler, context: Any, work: Callable[[], Any]) -> Any:
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    monkeypatch.setattr(Handler, "_in_thread", bare)

    async def one_after_the_other() -> bytes:
        await ask(application, "/looking", "acme")
        with monkeypatch.context() as patched:
            patched.setattr(keys, "reset", lambda: None)
            patched.setattr(keys, "use_schema", lambda schema: None)
            return await ask(application, "/peeking", "acme")

    assert asyncio.run(one_after_the_other()) == str(acme.id).encode()
