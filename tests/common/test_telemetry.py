from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from celery import signals
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from apps.common import telemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

SERVE = f"""
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls_of_this_test",
    MIDDLEWARE=["apps.common.middleware.RequestMiddleware"],
)
import sys, types
from django.http import HttpResponse
from django.urls import path
from apps.common.tracecontext import outgoing_headers
urls = types.ModuleType("urls_of_this_test")
urls.urlpatterns = [
    path("invite/<token>", lambda r, token: HttpResponse(outgoing_headers()["traceparent"])),
    path("broken", lambda r: HttpResponse(status=503)),
]
sys.modules["urls_of_this_test"] = urls
django.setup()
from apps.common import telemetry
print("exports", telemetry.configure())
from django.test import Client
client = Client()
parent = "00-{TRACE}-00f067aa0ba902b7-01"
answer = client.get("/invite/s3cret?ticket=s3cret", headers={{"traceparent": parent}})
print("answer", answer["traceparent"])
print("outgoing", answer.content.decode())
client.get("/broken")
from opentelemetry import trace
with trace.get_tracer("a library").start_as_current_span("says s3cret"):
    pass
telemetry.flush()
"""


def spans_of(server):
    bodies = [request.get_data() for request, _ in server.log]
    found = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return [s for f in found for r in f.resource_spans for ss in r.scope_spans for s in ss.spans]


def run(**environ):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", SERVE],
        env={**clean, **environ},
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.partition(" ") for line in done.stdout.splitlines() if line[0] in "eao"]
    return {name: rest for name, _, rest in lines}


def test_with_a_collector_every_request_is_a_span_of_the_callers_trace(httpserver):
    httpserver.expect_request("/v1/traces").respond_with_data(b"")
    said = run(OTEL_EXPORTER_OTLP_ENDPOINT=httpserver.url_for("").rstrip("/"))
    assert said["exports"] == "True"

    invite, broken = spans_of(httpserver)
    assert invite.name == "GET invite/<token>"
    assert invite.trace_id.hex() == TRACE
    assert invite.parent_span_id.hex() == "00f067aa0ba902b7"
    assert said["answer"] == f"00-{TRACE}-{invite.span_id.hex()}-01"
    assert said["outgoing"] == said["answer"]
    attributes = {a.key: a.value for a in invite.attributes}
    assert attributes["http.route"].string_value == "invite/<token>"
    assert attributes["http.response.status_code"].int_value == 200
    assert broken.status.code == 2
    assert not any(b"s3cret" in request.get_data() for request, _ in httpserver.log)


def test_without_a_collector_nothing_is_exported_and_the_trace_still_goes_on():
    said = run()
    assert said["exports"] == "False"
    assert said["answer"].startswith(f"00-{TRACE}-")
    assert said["outgoing"].startswith(f"00-{TRACE}-")


def test_a_workers_process_ends_though_the_collector_is_gone(monkeypatch):
    held, asked = threading.Event(), []

    def hang():
        asked.append(1)
        held.wait(30)

    monkeypatch.setattr(telemetry, "flush", hang)
    monkeypatch.setattr(telemetry, "LAST_SECONDS", 0.1)
    began = time.monotonic()
    signals.worker_process_shutdown.send(sender=None, pid=0, exitcode=0)
    held.set()
    assert asked == [1]
    assert time.monotonic() - began < 10
