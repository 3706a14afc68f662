"""A real worker exports from the processes that it forks, and sends what is left at their end."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from pytest_httpserver import HTTPServer

from apps.common import telemetry
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from apps.tenants.tasking import org_header
from config import processes
from config.celery import app
from tests.agents.factories import make_agent
from tests.common.test_telemetry import spans_of
from tests.orgs.conftest import owner_of
from tests.proof.crowd import wait_until
from tests.spans import Exported, exported

__all__ = ["exported"]

PATIENCE = 60.0


@contextmanager
def working(queue: str, collector: HTTPServer) -> Iterator[subprocess.Popen[bytes]]:
    """The worker that `make run` starts, on the suite's database; no batch leaves by its clock."""
    name = connections["default"].settings_dict["NAME"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings.dev",
        "MANDATE_PROCESS": "worker",
        "DATABASE_URL": f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}",
        "QUEUE_DEFAULT": queue,
        "WORKER_CONCURRENCY": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url_for("").rstrip("/"),
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
    }
    environ.pop("DATABASE_OWNER_URL")
    worker = subprocess.Popen(processes.worker(environ), env=environ, cwd=processes.ROOT)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.filterwarnings("ignore::celery.exceptions.AlwaysEagerIgnored")
def test_a_workers_spans_arrive_and_belong_to_the_trace_of_who_asked(
    throwaway_org: Callable[[], Any],
    httpserver: HTTPServer,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    httpserver.expect_request("/v1/traces").respond_with_data(b"")
    org, queue = throwaway_org(), f"spans-{uuid.uuid4().hex}"

    def send(name: str) -> None:
        app.send_task(name, queue=queue, headers=org_header())

    monkeypatch.setattr("apps.runs.services.invoke.enqueue", send)
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        make_agent(owner)
        with telemetry.span("asking", kind=telemetry.SpanKind.SERVER, attributes={}) as asking:
            order = Ask(agent="echo", input={"text": "canary"}, mode="async")
            run_id = invoke(order, caller=owner, at=timezone.now()).run.id

        def is_done() -> bool:
            return Run.objects.get(id=run_id).status == "succeeded"

        with working(queue, httpserver) as worker:
            wait_until(is_done, within=PATIENCE, what="the worker has carried the run out")
            assert spans_of(httpserver) == []
            worker.terminate()
            assert worker.wait(PATIENCE) == 0

    [span] = spans_of(httpserver)
    assert span.name == "invoke_agent echo"
    above = telemetry.context_of(asking)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (above.trace_id, above.span_id)
    assert not any(b"canary" in request.get_data() for request, _ in httpserver.log)
