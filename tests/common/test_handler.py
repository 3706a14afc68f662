"""Requests through `config.handler`: bodies, clients that leave, streams, and one thread each."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import uvicorn
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from apps.common import problem
from apps.common.turns import step_aside
from config import handler as module
from config.handler import Handler
from tests.common.exchange import Exchange

NAME: ContextVar[str] = ContextVar("name", default="nobody")

handler400 = problem.bad_request
handler404 = problem.page_not_found
handler500 = problem.server_error


class World:
    """What views of one test did, and what they wait for."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Semaphore(0)
        self.done: list[str] = []
        self.threads: dict[str, int] = {}
        self.open = asyncio.Event()
        self.lock = threading.Lock()
        self.inside = self.most = 0


world: World


def middleware(get_response: Any) -> Callable[[HttpRequest], Any]:
    def run(request: HttpRequest) -> Any:
        world.threads["middleware"] = threading.get_ident()
        response = get_response(request)
        response._resource_closers.append(
            lambda: world.threads.update(closing=threading.get_ident())
        )
        return response

    return run


def plain(request: HttpRequest) -> HttpResponse:
    world.threads["view"] = threading.get_ident()
    response = HttpResponse("plain")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def digest(request: HttpRequest) -> JsonResponse:
    world.done.append("digest")
    return JsonResponse(
        {
            "sha256": hashlib.sha256(request.read()).hexdigest(),
            "length": request.META.get("CONTENT_LENGTH"),
        }
    )


def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


def waiting(request: HttpRequest) -> HttpResponse:
    step_aside()
    world.began.release()
    assert world.gate.wait(30)
    world.done.append("waiting")
    return HttpResponse("waited")


def busy(request: HttpRequest) -> HttpResponse:
    with world.lock:
        world.inside += 1
        world.most = max(world.most, world.inside)
    world.gate.wait(0.2)
    with world.lock:
        world.inside -= 1
    return HttpResponse("done")


def naming(request: HttpRequest) -> HttpResponse:
    before = NAME.get()
    if wanted := request.GET.get("name"):
        NAME.set(wanted)
    return HttpResponse(before)


def ticking(request: HttpRequest) -> StreamingHttpResponse:
    NAME.set(request.GET["name"])
    return StreamingHttpResponse(_ticks())


async def _ticks() -> AsyncIterator[bytes]:
    try:
        yield f"{NAME.get()};".encode()
        await world.open.wait()
        yield f"{NAME.get()};".encode()
    finally:
        world.done.append(f"closed for {NAME.get()}")


def flooding(request: HttpRequest) -> StreamingHttpResponse:
    NAME.set(request.GET["name"])
    return StreamingHttpResponse(_flood())


async def _flood() -> AsyncIterator[bytes]:
    try:
        while True:
            await asyncio.sleep(0)
            yield b"x"
    finally:
        world.done.append(f"closed for {NAME.get()}")


def failing(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_fails())


async def _fails() -> AsyncIterator[bytes]:
    yield b"begun"
    raise LookupError("in the middle")


def listing(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        for part in (b"one,", b"two"):
            world.threads["part"] = threading.get_ident()
            yield part

    return StreamingHttpResponse(parts())


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path(view.__name__, view)
    for view in (
        *(plain, digest, form, waiting, busy, naming),
        *(ticking, flooding, failing, listing, broken),
    )
]


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    global world
    world = World()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["apps.common.middleware.ErrorMiddleware", f"{__name__}.middleware"],
    ):
        yield
    world.gate.set()


@pytest.fixture
def signals() -> Iterator[list[str]]:
    """The names of the requests' signals, in the order in which they came."""
    heard: list[str] = []

    def started(**_: Any) -> None:
        heard.append("started")

    def finished(**_: Any) -> None:
        heard.append("finished")

    request_started.connect(started)
    request_finished.connect(finished)
    yield heard
    request_started.disconnect(started)
    request_finished.disconnect(finished)


def ask(path: str, **options: Any) -> Exchange:
    async def alone() -> Exchange:
        return await Exchange(path, **options).run(Handler())

    return asyncio.run(asyncio.wait_for(alone(), 60))


def test_a_request_is_one_visit_to_one_thread(signals: list[str]) -> None:
    answer = ask("/plain")
    assert (answer.status, answer.content) == (200, b"plain")
    assert len(set(world.threads.values())) == 1
    assert set(world.threads) == {"middleware", "view", "closing"}
    assert threading.get_ident() not in world.threads.values()
    assert signals == ["started", "finished"]
    headers = answer.sent[0]["headers"]
    assert (b"Content-Type", b"text/html; charset=utf-8") in headers
    assert [value for name, value in headers if name == b"Set-Cookie"] == [
        b"a=1; Path=/",
        b"b=2; Path=/",
    ]


def test_a_bug_is_a_500_and_ends_its_request(signals: list[str]) -> None:
    assert ask("/broken").status == 500
    assert signals == ["started", "finished"]


def test_a_query_that_is_no_text_is_refused(signals: list[str]) -> None:
    assert ask("/plain", query=b"\xff").status == 400
    assert signals == ["started", "finished"]


@pytest.mark.parametrize("size", [0, 10, 70_000, 5_000_000])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_arrives_whole_however_long_and_in_how_many_parts(size: int, chunked: bool) -> None:
    body = bytes(range(250)) * (size // 250) + b"z" * (size % 250)
    parts = [body[at : at + 65_536] for at in range(0, size, 65_536)] or [b""]
    headers = {} if chunked else {"Content-Length": str(size)}
    answer = ask("/digest", method="POST", body=parts, headers=headers)
    assert answer.status == 200
    expected = hashlib.sha256(body).hexdigest()
    length = "null" if chunked and not size else f'"{size}"'
    assert answer.content.decode() == f'{{"sha256": "{expected}", "length": {length}}}'


def test_the_limit_of_a_form_counts_a_chunked_body_too(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert ask("/form", method="POST", body=[b"x" * 50, b"x" * 50]).content == b"100"
    assert ask("/form", method="POST", body=[b"x" * 50, b"x" * 51]).status == 413


@pytest.mark.parametrize("length", [1001, 10**12])
def test_a_body_that_says_it_is_too_long_is_not_even_read(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 1000)
    answer = ask(
        "/digest", method="POST", body=[b"x" * 1001], headers={"Content-Length": str(length)}
    )
    assert (answer.status, answer.asked) == (413, 0)
    assert ask("/plain", method="POST", headers={"Content-Length": str(length)}).status == 200


def test_a_body_that_turns_out_too_long_is_read_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 1000)
    parts = [b"x" * 500] * 6
    answer = ask("/digest", method="POST", body=parts)
    assert (answer.status, answer.asked) == (413, 3)
    fits = ask("/digest", method="POST", body=parts[:2])
    assert (fits.status, fits.asked) == (200, 2)


def test_a_client_that_leaves_within_its_body_asked_for_nothing(signals: list[str]) -> None:
    async def scenario() -> list[Exchange]:
        application = Handler()
        cut = [
            Exchange("/digest", method="POST", body=body, ends=False)
            for body in ([b"a"], [b"a", b"b"])
        ]
        whole = Exchange("/digest", method="POST", body=[b"a"])
        for exchange in cut:
            exchange.leave()
        return [await e.run(application) for e in (*cut, whole)]

    first, second, whole = asyncio.run(scenario())
    assert first.sent == second.sent == []
    assert (world.done, whole.status) == (["digest"], 200)
    assert signals == ["started", "finished"]


def test_work_goes_on_to_its_end_when_the_client_leaves(signals: list[str]) -> None:
    async def scenario() -> Exchange:
        exchange = Exchange("/waiting")
        asked = asyncio.create_task(exchange.run(Handler()))
        assert await asyncio.to_thread(world.began.acquire, timeout=30)
        exchange.leave()
        world.gate.set()
        return await asked

    left = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert (left.sent, world.done) == ([], ["waiting"])
    assert signals == ["started", "finished"]


def test_a_waiting_request_outlives_the_task_that_asked(signals: list[str]) -> None:
    """A server that shuts down cancels its tasks; what was begun still comes to its end."""

    async def scenario() -> None:
        asked = asyncio.create_task(Exchange("/waiting").run(Handler()))
        assert await asyncio.to_thread(world.began.acquire, timeout=30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert world.done == []
        world.gate.set()

    ended = threading.Event()
    request_finished.connect(lambda **_: ended.set(), weak=False, dispatch_uid="ended")
    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert ended.wait(30)
    request_finished.disconnect(dispatch_uid="ended")
    assert world.done == ["waiting"]


@pytest.mark.parametrize("threads, comes_through", [(65, True), (64, False)])
def test_requests_that_wait_hold_up_others_only_when_no_thread_is_left(
    threads: int, comes_through: bool
) -> None:
    async def scenario() -> bool:
        application = Handler(threads=threads)
        waiters = [asyncio.create_task(Exchange("/waiting").run(application)) for _ in range(64)]
        for _ in waiters:
            assert await asyncio.to_thread(world.began.acquire, timeout=30)
        beside = asyncio.create_task(Exchange("/plain").run(application))
        if comes_through:
            await beside
        came = beside.done()
        world.gate.set()
        answers = await asyncio.gather(beside, *waiters)
        assert {answer.status for answer in answers} == {200}
        return came

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) is comes_through


def computing_at_once(at_work: int) -> int:
    """How many of eight requests that don't step aside were in their views at the same time."""

    async def scenario() -> None:
        application = Handler(at_work=at_work)
        answers = await asyncio.gather(*(Exchange("/busy").run(application) for _ in range(8)))
        assert {answer.status for answer in answers} == {200}

    world.most = 0
    asyncio.run(asyncio.wait_for(scenario(), 60))
    return world.most


def test_so_many_compute_at_once_and_the_others_have_their_turn_later() -> None:
    assert computing_at_once(3) == 3
    assert computing_at_once(8) == 8  # the control: all of them could


def test_the_product_has_threads_to_spare_for_64_that_wait() -> None:
    assert module.THREADS >= 2 * 64


def left_behind(threads: int = 1) -> bytes:
    """What the second of two requests finds in a variable that the first one set."""

    async def scenario() -> bytes:
        application = Handler(threads=threads)
        await Exchange("/naming", query=b"name=first").run(application)
        return (await Exchange("/naming").run(application)).content

    return asyncio.run(scenario())


def test_a_request_finds_nothing_of_the_one_before_in_its_thread() -> None:
    assert left_behind() == b"nobody"


def test_without_a_context_of_its_own_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""

    def bare(self: Handler, context: Any, work: Any) -> Any:
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    monkeypatch.setattr(Handler, "_in_thread", bare)
    assert left_behind() == b"first"


def test_a_stream_comes_part_by_part_with_what_its_view_set(signals: list[str]) -> None:
    async def scenario() -> list[Exchange]:
        world.open = asyncio.Event()
        application = Handler()
        streams = [Exchange("/ticking", query=f"name=n{n}".encode()) for n in range(8)]
        asked = [asyncio.create_task(stream.run(application)) for stream in streams]
        while not all(stream.content for stream in streams):
            await asyncio.sleep(0.01)
        assert [stream.content for stream in streams] == [b"n%d;" % n for n in range(8)]
        assert signals == ["started"] * 8
        world.open.set()
        return await asyncio.gather(*asked)

    ended = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [stream.content for stream in ended] == [b"n%d;n%d;" % (n, n) for n in range(8)]
    assert all("more_body" not in stream.sent[-1] for stream in ended)
    assert signals == ["started"] * 8 + ["finished"] * 8


@pytest.mark.parametrize("path", ["/ticking", "/flooding"])
def test_a_stream_ends_when_its_client_leaves(path: str, signals: list[str]) -> None:
    """Whether it waits or is in the middle of sending; it cleans up as who it was."""

    async def scenario() -> Exchange:
        world.open = asyncio.Event()
        stream = Exchange(path, query=b"name=leaver")
        asked = asyncio.create_task(stream.run(Handler()))
        while not stream.content:
            await asyncio.sleep(0.01)
        assert world.done == []
        stream.leave()
        await asked
        assert world.done == ["closed for leaver"]
        return stream

    left = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert left.sent[-1]["more_body"] is True
    assert signals == ["started", "finished"]


def test_a_stream_that_fails_is_not_ended_as_if_it_were_whole(signals: list[str]) -> None:
    async def scenario() -> Exchange:
        stream = Exchange("/failing")
        with pytest.raises(LookupError):
            await stream.run(Handler())
        return stream

    cut = asyncio.run(scenario())
    assert cut.content == b"begun"
    assert cut.sent[-1]["more_body"] is True
    assert signals == ["started", "finished"]


def test_a_sync_iterator_is_run_in_the_requests_thread(signals: list[str]) -> None:
    assert ask("/listing").content == b"one,two"
    assert world.threads["part"] == world.threads["middleware"] == world.threads["closing"]
    assert signals == ["started", "finished"]


@pytest.fixture
def served() -> Iterator[int]:
    """The handler behind a real uvicorn, as `config.processes` starts it; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Handler(), http="httptools", loop="asyncio", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def test_one_connection_serves_many_requests(served: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", served, timeout=30)
    client.request("HEAD", "/plain")
    head = client.getresponse()
    assert (head.status, head.read()) == (200, b"")
    client.request("POST", "/digest", body=iter([b"ab", b"c"]), headers={"Connection": "close"})
    posted = client.getresponse()
    assert hashlib.sha256(b"abc").hexdigest().encode() in posted.read()


def test_who_asks_before_sending_is_told_to_go_on_or_that_it_is_too_much(served: int) -> None:
    def first_line(length: int) -> bytes:
        with socket.create_connection(("127.0.0.1", served), timeout=30) as client:
            client.sendall(
                b"POST /digest HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                b"Content-Length: %d\r\n\r\n" % length
            )
            return client.makefile("rb").readline()

    assert first_line(3) == b"HTTP/1.1 100 Continue\r\n"
    assert first_line(module.MAX_BODY + 1).startswith(b"HTTP/1.1 413 ")
