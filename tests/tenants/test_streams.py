"""A stream keeps its org to the last byte, and keeps no pooled connection while it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.http import HttpRequest, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from apps.tenants import keys
from apps.tenants.access import public_document
from apps.tenants.middleware import HostMiddleware
from apps.tenants.selectors import find_org_by_slug

pytestmark = pytest.mark.usefixtures("committed")

CHUNKS = 3


def session_org() -> bytes:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select current_setting('app.org_id', true)")
            return f"{cursor.fetchone()[0]}|{keys.current().schema}\n".encode()
    finally:
        connections.close_all()


async def chunks(org: Any) -> AsyncIterator[bytes]:
    for _ in range(CHUNKS):
        await asyncio.sleep(0)
        yield await sync_to_async(session_org)()


def streaming(request: HttpRequest) -> StreamingHttpResponse:
    """What an event stream does: the keys are turned in the request, the bytes come later."""
    org: Any = request.org  # type: ignore[attr-defined]
    keys.unlock(org.id)
    session_org()
    return StreamingHttpResponse(chunks(org), content_type="text/plain")


def waiting(request: HttpRequest) -> StreamingHttpResponse:
    org: Any = request.org  # type: ignore[attr-defined]
    keys.unlock(org.id)
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return StreamingHttpResponse(_slow(), content_type="text/plain")


async def _slow() -> AsyncIterator[bytes]:
    await GATE.wait()
    yield b"done"


GATE: asyncio.Event
streaming.open_to_all = True  # type: ignore[attr-defined]
waiting.open_to_all = True  # type: ignore[attr-defined]
urlpatterns = [
    path("stream", streaming),
    path("wait", waiting),
    path("document", public_document(lambda request: StreamingHttpResponse(_one()))),
]


def _one() -> Iterator[bytes]:
    yield b"x"


async def ask(target: str, host: str, sent: list[dict[str, Any]]) -> None:
    from config.asgi import application

    async def receive() -> dict[str, Any]:
        if not sent or sent[-1].get("more_body", True):
            await asyncio.sleep(3600)
        return {"type": "http.request"}

    first = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive_once() -> dict[str, Any]:
        return first.pop() if first else await receive()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await application(scope, receive_once, send)


def stream_twelve() -> int:
    """Twelve streams of two orgs at once; how many chunks were not their org's."""
    acme, globex = find_org_by_slug("acme"), find_org_by_slug("globex")
    assert acme and globex
    answers: dict[int, list[dict[str, Any]]] = {n: [] for n in range(12)}

    async def all_at_once() -> None:
        pairs = ((n, (acme, globex)[n % 2]) for n in answers)
        await asyncio.gather(
            *(ask("/stream", f"{org.slug}.localhost:8000", answers[n]) for n, org in pairs)
        )

    asyncio.run(all_at_once())

    wrong = 0
    for number, sent in answers.items():
        org = (acme, globex)[number % 2]
        lines = b"".join(message.get("body", b"") for message in sent).splitlines()
        assert len(lines) == CHUNKS
        wrong += sum(line != f"{org.id}|{org.schema}".encode() for line in lines)
    return wrong


@override_settings(ROOT_URLCONF=__name__)
def test_interleaved_streams_keep_their_orgs(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = stream_twelve()
    with capsys.disabled():
        print(f"\nstreams: 12 of 2 orgs, {12 * CHUNKS} chunks, {wrong} of another org or none")
    assert wrong == 0
    assert keys.current() == keys.NONE


@override_settings(ROOT_URLCONF=__name__)
def test_with_the_keys_put_down_too_early_streams_lose_their_orgs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutation control: keys that end with the view are gone when the bytes come."""
    real = HostMiddleware.__call__

    def early(self: HostMiddleware, request: HttpRequest) -> Any:
        response = real(self, request)
        keys.reset()
        return response

    monkeypatch.setattr(HostMiddleware, "__call__", early)
    assert stream_twelve() == 12 * CHUNKS


@override_settings(ROOT_URLCONF=__name__)
def test_more_open_streams_than_pooled_connections_stop_nobody() -> None:
    """Sixteen streams wait on a pool of eight, and a query beside them still gets a connection."""
    global GATE
    sent: list[list[dict[str, Any]]] = [[] for _ in range(16)]

    async def scenario() -> bytes:
        global GATE
        GATE = asyncio.Event()
        asked = [asyncio.create_task(ask("/wait", "acme.localhost:8000", s)) for s in sent]
        while not all(s and s[0]["type"] == "http.response.start" for s in sent):
            await asyncio.sleep(0.01)
        beside = await sync_to_async(session_org)()
        GATE.set()
        await asyncio.gather(*asked)
        return beside

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == b"|public\n"
    assert all(b"".join(m.get("body", b"") for m in s) == b"done" for s in sent)
