"""OpenTelemetry: one server span a request, exported only when somebody named a collector.

The span is opened by our own middleware and not by the Django instrumentation, which records the
full URL with its query (tickets, tokens), asks for the host before anyone has checked it, and
can't run in an async chain. Names and attributes are those of the HTTP semantic conventions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from django.http import HttpRequest
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from apps.common.tracecontext import TraceContext

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_wanted() -> bool:
    """Whether the environment names a collector, by the specification's own variables."""
    return any(os.environ.get(name) for name in _ENDPOINTS)


@lru_cache(maxsize=1)
def configure() -> bool:
    """Start exporting if a collector is named, once a process; tells whether it does.

    Sampling, headers, timeouts and the service name obey the standard OTEL_ variables.
    """
    if not is_wanted():
        return False
    service = os.environ.get("OTEL_SERVICE_NAME", "mandate")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


@contextmanager
def server_span(request: HttpRequest) -> Iterator[Span | None]:
    """Span one request, continuing the caller's trace; yields None when nothing is exported."""
    if not configure():
        yield None
        return
    method = request.method or "GET"
    with trace.get_tracer("mandate").start_as_current_span(
        method,
        context=propagate.extract(request.headers),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method},
    ) as span:
        yield span


def describe(span: Span, *, method: str, route: str, status: int, request_id: str) -> None:
    """Say what became of the request: its route, for a path may hold a secret, and its status."""
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {
            "http.route": route,
            "http.response.status_code": status,
            "mandate.request_id": request_id,
        }
    )
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def context_of(span: Span) -> TraceContext:
    """The span's ids as the rest of the product carries them."""
    ids = span.get_span_context()
    return TraceContext(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", ids.trace_flags.sampled)
