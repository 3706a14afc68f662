"""Django behind ASGI: the body is read on the loop, all the rest is one visit to a thread.

Middleware and views are sync. Django's own ASGI handler runs each of them where it likes best,
changes between the loop and a thread several times a request and starts a thread for every one of
them; here the whole chain, with the closing of its answer, is one piece of work for a pool of
threads. It runs in a copy of the caller's context variables, of which there is one a request: what
a request sets in them (the keys of its org) reaches its stream and nobody else.

Invariants: an idle thread holds no database connection; work that was begun goes on to its end
when the client leaves, and only its answer is dropped; a stream ends when its client leaves.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO, Any, Final, TypeVar, cast

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings
from django.core import signals
from django.core.cache import close_caches
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler, reset_urlconf
from django.core.handlers.exception import convert_exception_to_response
from django.db import close_old_connections, connections, reset_queries
from django.http import HttpRequest, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, get_resolver, set_script_prefix
from django.utils.module_loading import import_string

from apps.common.turns import Turns

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Result = TypeVar("Result")

THREADS: Final = 160
"""Requests at work at once in a process; those that only wait for somebody outside count too."""
AT_WORK: Final = 3
"""Of these, how many compute at once: more would only wait for the interpreter (measured)."""
MAX_BODY: Final = 32 * 1024 * 1024
"""Of a longer body nothing is kept; views refuse much shorter ones (DATA_UPLOAD_MAX_…)."""


PATHS: Final = 4096
"""Paths of the API whose view a process remembers: to match one costs what a statement does."""
SHORT: Final = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """What a thread brings back: all of it, or the head of a stream that is still to be run."""

    start: Message
    content: bytes = b""
    stream: StreamingHttpResponse | None = None


class Chain(BaseHandler):
    """Django's way from a request to its answer through these middleware, all of them sync."""

    def __init__(self, middleware: Sequence[str]) -> None:
        super().__init__()
        self._view_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        step: Any = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]
        for name in reversed(middleware):
            around = import_string(name)(step)
            if hasattr(around, "process_view"):
                self._view_middleware.insert(0, around.process_view)
            if hasattr(around, "process_exception"):
                self._exception_middleware.append(around.process_exception)
            step = convert_exception_to_response(around)
        self._middleware_chain = step
        self._match = lru_cache(maxsize=PATHS)(_match)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Find the view as Django does; what a short path leads to is remembered.

        Whoever set the request's URLconf turned to it, too.
        """
        urlconf, path = getattr(request, "urlconf", None), request.path_info
        if urlconf is None or len(path) > SHORT:
            return super().resolve_request(request)
        match = request.resolver_match = self._match(urlconf, path)
        return match


class Handler:
    """Answers HTTP requests by Django's sync chains: one for pages, a shorter one for API calls."""

    def __init__(self, *, threads: int = THREADS, at_work: int = AT_WORK) -> None:
        self._pages = BaseHandler()
        self._pages.load_middleware()
        self._calls = Chain(settings.API_MIDDLEWARE)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._turns = Turns(at_work)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive)
        if body is None:
            return
        context = copy_context()
        async with self._turns.turn(context):
            answer = await self._in_thread(context, partial(self._answer, scope, body))
        if answer.stream is None:
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.content})
            return
        try:
            await send(answer.start)
            await asyncio.create_task(_stream(answer.stream, receive, send), context=context)
        finally:
            await self._in_thread(context, partial(_ended, answer.stream.close))

    def _in_thread(self, context: Context, work: Callable[[], Result]) -> Awaitable[Result]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, context.run, work)

    def _answer(self, scope: Message, body: IO[bytes]) -> Answer:
        """The request from its first signal to its last; a stream's last comes after its end."""
        return _ended(partial(self._respond, scope, body))

    def _respond(self, scope: Message, body: IO[bytes]) -> Answer:
        if (prefix := get_script_prefix(scope)) != "/":  # which each context begins with
            set_script_prefix(prefix)
        signals.request_started.send(sender=type(self), scope=scope)
        response = self._response_to(scope, body)
        if isinstance(response, StreamingHttpResponse) and response.is_async:
            return Answer(_start(response), stream=response)
        try:
            # A sync iterator is run to its end here, as Django does too: what lasts is async.
            content = _content(response)
            response.headers.setdefault("Content-Length", str(len(content)))
            return Answer(_start(response), content)
        finally:
            response.close()

    def _response_to(self, scope: Message, body: IO[bytes]) -> HttpResponseBase:
        try:
            request = ASGIRequest(scope, body)
        except UnicodeDecodeError:
            body.close()
            return HttpResponseBadRequest()
        _measured(request, body)
        chain = self._calls if is_call(request.path_info) else self._pages
        response = chain.get_response(request)
        response._handler_class = type(self)  # type: ignore[attr-defined]
        return response


def _match(urlconf: str, path: str) -> ResolverMatch:
    return get_resolver(urlconf).resolve(path)


def leave_ends_alone() -> None:
    """Spare every request what Django does at its ends and is done here: `_ended` gives back all
    connections, and the URLconf goes with the request's context. The log of statements is only
    written while DEBUG, and our cache's connections are its pool's.
    """
    signals.request_started.disconnect(reset_queries)
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    for receiver in (reset_urlconf, close_caches):
        signals.request_finished.disconnect(receiver)


def is_call(path: str) -> bool:
    """Whether a path is the API's; its manual is a page."""
    return path.startswith("/v1/") and path != "/v1/docs"


async def read_body(scope: Message, receive: Receive) -> IO[bytes] | None:
    """The whole body, in a file when it is long; None if the client left before its end."""
    if _declared_length(scope) > MAX_BODY:
        return TooLong()
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    if not message.get("more_body", False):
        return io.BytesIO(message.get("body", b""))
    return await _spool(message, receive)


async def _spool(message: Message, receive: Receive) -> IO[bytes] | None:
    limit = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    body: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=limit)  # noqa: SIM115
    while message["type"] != "http.disconnect":
        body.write(message.get("body", b""))
        if body.tell() > MAX_BODY:
            body.close()
            return TooLong()
        if not message.get("more_body", False):
            body.seek(0)
            return body
        message = await receive()
    body.close()
    return None


class TooLong(io.BytesIO):
    """A body that nobody kept: whoever reads it refuses the request."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise RequestDataTooBig(f"A body may have {MAX_BODY} bytes.")


def _declared_length(scope: Message) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _measured(request: ASGIRequest, body: IO[bytes]) -> None:
    """Say how long a chunked body is: limits and parsers go by the header, which it hasn't."""
    if "CONTENT_LENGTH" in request.META:
        return
    if isinstance(body, TooLong):
        request.META["CONTENT_LENGTH"] = str(MAX_BODY + 1)
    elif length := body.seek(0, io.SEEK_END):
        request.META["CONTENT_LENGTH"] = str(length)
        body.seek(0)


def _start(response: HttpResponseBase) -> Message:
    told = response.headers._store.values()  # items() would look each name up again
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in told]
    headers += [
        (b"Set-Cookie", cookie.output(header="").encode("ascii").strip())
        for cookie in response.cookies.values()
    ]
    return {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": headers,
    }


def _content(response: HttpResponseBase) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return b"".join(response)
    return response.content  # type: ignore[attr-defined, no-any-return]


def _ended(work: Callable[[], Result]) -> Result:
    """Run it and leave the thread as it was found, even when closing the answer failed."""
    try:
        return work()
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                connection.close()
                del connections[connection.alias]
            elif connection.connection is not None:
                connection.close()


async def _stream(response: StreamingHttpResponse, receive: Receive, send: Send) -> None:
    """Send the parts as they come, until the last or until the client leaves."""
    async with ThreadSensitiveContext():
        sending = asyncio.create_task(_send_parts(response, send))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()


async def _send_parts(response: StreamingHttpResponse, send: Send) -> None:
    async with aclosing(cast("AsyncGenerator[bytes]", aiter(response))) as parts:
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})
