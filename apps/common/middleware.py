"""What surrounds every request: its names, its span, its line in the log, and its errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.common import metrics, problem, telemetry, tracecontext
from apps.common.errors import Unavailable
from apps.common.headers import put
from apps.common.tracecontext import TraceContext

log = structlog.get_logger("mandate.request")

Finish = Callable[[HttpResponseBase], HttpResponseBase]
GetResponse = Callable[[HttpRequest], HttpResponseBase]

NO_ROUTE: Final = "(no route)"
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestMiddleware:
    """Name, trace, measure and log every request; stands first, so that nothing escapes it.

    `request.id` and `request.trace` are set for everyone below. Whoever finds out the org or the
    principal binds it with `structlog.contextvars.bind_contextvars`, and it is in every line from
    there on, in the last one too.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with _exchange(request) as finish:
            return finish(self.get_response(request))


class ErrorMiddleware:
    """Answer what a view raised, and rewrite what was answered past `apps.common.problem`.

    Under /v1 every error is problem+json, also those that Django makes itself: no such URL, a
    refused body, a debug page. A middleware below this one can't raise to it (Django turns its
    exception into a 500 first): it calls `problem.respond`.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return _rewritten(request, self.get_response(request))

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """What means nothing to a client goes on to Django, which logs it and answers 500."""
        ours = problem.as_domain_error(error)
        if ours is None:
            return None
        if isinstance(ours, Unavailable) and ours is not error:
            log.error("a part is down", exc_info=error)
        return problem.respond(request, ours)


def _rewritten(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    if not problem.must_be_rewritten(request, answer):
        return answer
    better = problem.respond(request, problem.from_status(answer.status_code))
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in answer.headers:
            better[name] = answer.headers[name]
    # Closed when the new answer is, for closing one ends the request: connections, tenant keys.
    better._resource_closers.extend(answer._resource_closers)  # type: ignore[attr-defined]
    return better


@contextmanager
def _exchange(request: HttpRequest) -> Iterator[Finish]:
    """Open everything that lasts as long as the request; the yielded function ends its answer."""
    began = time.perf_counter()
    named = cast(Any, request)
    named.id = tracecontext.request_id(request.META.get("HTTP_X_REQUEST_ID"))
    with telemetry.server_span(request) as span:
        named.trace = telemetry.context_of(span) if span else _own_span(request)
        tracecontext.enter(named.trace)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=named.id, trace_id=named.trace.trace_id)

        def finish(answer: HttpResponseBase) -> HttpResponseBase:
            _report(request, answer.status_code, time.perf_counter() - began)
            if span:
                method, route = request.method or "", route_of(request)
                telemetry.describe(
                    span, method=method, route=route, status=answer.status_code, request_id=named.id
                )
            return _signed(answer, named.id, named.trace)

        try:
            yield finish
        finally:
            structlog.contextvars.clear_contextvars()
            tracecontext.enter(None)


def _own_span(request: HttpRequest) -> TraceContext:
    incoming = tracecontext.read_traceparent(request.META.get("HTTP_TRACEPARENT"))
    return incoming.child() if incoming else tracecontext.new_trace()


def _signed(answer: HttpResponseBase, request_id: str, trace: TraceContext) -> HttpResponseBase:
    """Tell the caller both names; `traceresponse` is what the next Trace Context calls it."""
    place = trace.traceparent
    put(answer, {"X-Request-Id": request_id, "traceparent": place, "traceresponse": place})
    return answer


def _report(request: HttpRequest, status: int, seconds: float) -> None:
    """Count the request and write its line: the route, never the path or the query."""
    method, route = request.method or "", route_of(request)
    metrics.observe_request(route=route, method=method, status=status, seconds=seconds)
    write = log.debug if request.path in _PROBES else log.info
    write(
        "request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 1)
    )


def route_of(request: HttpRequest) -> str:
    """The pattern that the path matched; there are as many as lines in the URLconf."""
    match = getattr(request, "resolver_match", None)
    return match.route if match else NO_ROUTE
