"""What the process counts and measures, in Prometheus' text format.

Labels are bounded and name no tenant: routes, methods and statuses, never paths, hosts, orgs or
keys; so /metrics says the same on every host. With several processes each writes into files under
`PROMETHEUS_MULTIPROC_DIR` and whoever is asked adds them up.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from celery import signals
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS: Final = Counter(
    "mandate_http_requests", "Requests answered.", ["route", "method", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "mandate_http_request_seconds",
    "Time until the answer began.",
    ["route", "method"],
    buckets=_BUCKETS,
)
RATE_LIMITED: Final = Counter(
    "mandate_rate_limited", "Requests refused by a rate limit.", ["policy"]
)
RATE_LIMIT_FAILURES: Final = Counter(
    "mandate_rate_limit_store_failures", "Requests let through uncounted: Valkey did not answer."
)
JOBS: Final = Counter("mandate_jobs", "Jobs finished.", ["task", "outcome"])
JOB_SECONDS: Final = Histogram(
    "mandate_job_seconds", "Time a job took.", ["task"], buckets=(*_BUCKETS, 30.0, 60.0, 300.0)
)
POOL: Final = Gauge(
    "mandate_db_pool_connections",
    "Pooled database connections.",
    ["database", "state"],
    multiprocess_mode="livesum",
)
POOL_WAITING: Final = Gauge(
    "mandate_db_pool_waiting",
    "Waiting for a connection.",
    ["database"],
    multiprocess_mode="livesum",
)


def observe_request(*, route: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    known = method if method in _METHODS else "OTHER"
    REQUESTS.labels(route, known, str(status)).inc()
    REQUEST_SECONDS.labels(route, known).observe(seconds)


def read_pools() -> None:
    """Set the gauges of this process's connection pools to what they are now."""
    for alias in connections:
        pool = getattr(connections[alias], "_connection_pools", {}).get(alias)
        if pool is None:
            continue
        stats = pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        POOL.labels(alias, "idle").set(idle)
        POOL.labels(alias, "busy").set(size - idle)
        POOL_WAITING.labels(alias).set(stats.get("requests_waiting", 0))


def exposition() -> tuple[bytes, str]:
    """Everything counted by all processes that share the folder, and the content type."""
    read_pools()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


@require_safe
def metrics_view(request: HttpRequest) -> HttpResponse:
    """Answer who knows METRICS_TOKEN; if none is set, anybody while DEBUG, nobody otherwise."""
    token = settings.METRICS_TOKEN
    offered = request.headers.get("Authorization", "")
    if not (constant_time_compare(offered, f"Bearer {token}") if token else settings.DEBUG):
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
    body, content_type = exposition()
    return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})


def connect_job_signals() -> None:
    """Count jobs where they run; harmless in a process that runs none."""
    signals.task_prerun.connect(_job_began, dispatch_uid="metrics.began")
    signals.task_postrun.connect(_job_ended, dispatch_uid="metrics.ended")
    signals.worker_process_shutdown.connect(_process_ended, dispatch_uid="metrics.process")


def _job_began(task: Any, **_: Any) -> None:
    task.request.began = time.perf_counter()


def _job_ended(task: Any, state: str | None = None, **_: Any) -> None:
    JOBS.labels(task.name, (state or "unknown").lower()).inc()
    began = getattr(task.request, "began", None)
    if began is not None:
        JOB_SECONDS.labels(task.name).observe(time.perf_counter() - began)


def _process_ended(pid: int, **_: Any) -> None:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
