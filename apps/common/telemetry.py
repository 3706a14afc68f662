"""OpenTelemetry: what the product does, as spans, exported only when somebody named a collector.

The span of a request is opened by our own middleware and not by the Django instrumentation, which
records the full URL with its query (tickets, tokens), asks for the host before anyone has checked
it, and can't run in an async chain. Its names are those of the HTTP semantic conventions.

No span records an exception: its text may quote anything. And the provider is ours alone: a library
that looks for one finds none, and exports nothing of what goes through it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from celery import signals
from django.http import HttpRequest
from opentelemetry import propagate
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from apps.common import tracecontext
from apps.common.tracecontext import TraceContext

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LAST_SECONDS: Final = 3.0
"""What a worker's process has for sending what is left."""
_QUIET: Final[dict[str, Any]] = {"record_exception": False, "set_status_on_exception": False}

tracer: Tracer | None = None
"""None while nothing is exported: who opens a span looks here before making anything of it."""
_provider: TracerProvider | None = None


def is_wanted() -> bool:
    """Whether the environment names a collector, by the specification's own variables."""
    return any(os.environ.get(name) for name in _ENDPOINTS)


def configure() -> bool:
    """Start exporting if a collector is named, once a process; tells whether it does.

    Spans leave by a thread, so each process calls this after it was forked. Sampling, headers,
    timeouts and the service name obey the standard OTEL_ variables.
    """
    global _provider, tracer
    if _provider is None and is_wanted():
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        service = os.environ.get("OTEL_SERVICE_NAME", "mandate")
        _provider = TracerProvider(resource=Resource.create({"service.name": service}))
        _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        tracer = _provider.get_tracer("mandate")
    return _provider is not None


def flush() -> None:
    """Send what waits to be exported."""
    if _provider is not None:
        _provider.force_flush()


def connect_worker_signals() -> None:
    """Have a worker's processes export; harmless in a process that is none."""
    signals.worker_process_init.connect(_process_began, dispatch_uid="telemetry.began")
    signals.worker_process_shutdown.connect(_process_ended, dispatch_uid="telemetry.ended")


def _process_began(**_: Any) -> None:
    configure()


def _process_ended(**_: Any) -> None:
    """Celery's processes end without what Python does at exit; for a collector that is gone they
    don't wait long.
    """
    sending = threading.Thread(target=flush, daemon=True)
    sending.start()
    sending.join(LAST_SECONDS)


@contextmanager
def span(
    name: str, *, kind: SpanKind, attributes: Mapping[str, Any], parent: str = ""
) -> Iterator[Span]:
    """Span a block below the present span, or below the one that `parent`, a traceparent, names.

    What goes out meanwhile carries it. Only where there is a `tracer`.
    """
    assert tracer is not None  # noqa: S101 - the caller has looked
    above = propagate.extract({"traceparent": parent}) if parent else None
    opening = tracer.start_as_current_span(
        name, context=above, kind=kind, attributes=attributes, **_QUIET
    )
    with opening as opened, tracecontext.within(context_of(opened)):
        yield opened


def fail(span: Span, code: str) -> None:
    """Say that what is spanned failed, by a code of few."""
    span.set_attribute(ERROR_TYPE, code)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def server_span(request: HttpRequest) -> Iterator[Span | None]:
    """Span one request, continuing the caller's trace; yields None when nothing is exported."""
    if tracer is None:
        yield None
        return
    method = request.method or "GET"
    with tracer.start_as_current_span(
        method,
        context=propagate.extract(request.headers),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method},
        **_QUIET,
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
