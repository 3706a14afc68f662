"""A process whose threads and connections are all taken still says how it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path

from config import asgi
from config.handler import Handler
from tests.common.exchange import Exchange

pytestmark = pytest.mark.usefixtures("committed")
THREADS = 3
gate: threading.Event
began: threading.Semaphore


def waiting(request: HttpRequest) -> HttpResponse:
    began.release()
    assert gate.wait(60)
    return HttpResponse("waited")


urlpatterns = [path("waiting", waiting), path("", include("config.urls.apex"))]
waiting.open_to_all = True  # type: ignore[attr-defined]


@pytest.fixture
def no_connection_left() -> Iterator[None]:
    connections.close_all()
    pool = connections["default"].pool
    pool.open()
    held = [pool.getconn(30) for _ in range(pool.max_size)]
    yield
    for raw in held:
        pool.putconn(raw)


@pytest.fixture
def few_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    global gate, began
    gate, began = threading.Event(), threading.Semaphore(0)
    monkeypatch.setattr(asgi, "django_application", Handler(threads=THREADS))
    yield
    gate.set()


async def ask(target: str) -> Exchange:
    return await Exchange(target).run(asgi.application)


@override_settings(PUBLIC_SCHEMA_URLCONF=__name__)
@pytest.mark.parametrize(
    ("target", "expected"), [("/healthz", 200), ("/readyz", 200), ("/metrics", 401)]
)
def test_a_probe_is_answered_while_every_thread_and_connection_is_taken(
    target: str, expected: int, no_connection_left: None, few_threads: None
) -> None:
    async def scenario() -> tuple[int | None, bool]:
        waiters = [asyncio.create_task(ask("/waiting")) for _ in range(THREADS)]
        for _ in range(THREADS):
            await asyncio.to_thread(began.acquire)
        beside = asyncio.create_task(ask("/"))
        probe = await ask(target)
        left_waiting = not beside.done() and not any(waiter.done() for waiter in waiters)
        gate.set()
        await asyncio.gather(beside, *waiters)
        return probe.status, left_waiting

    status, left_waiting = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert status == expected
    assert left_waiting, "the control: what is no probe waits with the others"
