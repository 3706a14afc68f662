from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from apps.common import metrics


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


@pytest.fixture
def scrape(api, settings):
    settings.METRICS_TOKEN = "scraper"

    def ask():
        answer = api.get("/metrics", headers={"Authorization": "Bearer scraper"})
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain; version=")
        return {f.name: f for f in text_string_to_metric_families(answer.content.decode())}

    return ask


def test_requests_are_counted_by_route_method_and_status(api, scrape):
    labels = {"route": "invite/<token>", "method": "GET", "status": "200"}
    before = value("mandate_http_requests_total", **labels)
    api.get("/invite/secret-1")
    api.get("/invite/secret-2")
    assert value("mandate_http_requests_total", **labels) == before + 2
    seconds = {"route": "invite/<token>", "method": "GET"}
    assert value("mandate_http_request_seconds_count", **seconds) >= 2
    assert "mandate_http_requests" in scrape()


def test_neither_paths_nor_hosts_nor_made_up_methods_become_labels(api, scrape):
    api.get("/invite/hidden-token", headers={"Host": "acme.localhost"})
    api.get("/nowhere/hidden-path")
    api.generic("HIDDENVERB", "/invite/x")
    text = str([sample for family in scrape().values() for sample in family.samples])
    assert "hidden" not in text.lower()
    assert "acme" not in text
    assert value("mandate_http_requests_total", route="(no route)", method="GET", status="404") >= 1
    assert value(
        "mandate_http_requests_total", route="invite/<token>", method="OTHER", status="200"
    )


@pytest.mark.parametrize("offered", [None, "Bearer wrong", "Bearer ", "scraper"])
def test_without_the_token_nothing_is_told(api, settings, offered):
    settings.METRICS_TOKEN = "scraper"
    settings.DEBUG = True
    answer = api.get("/metrics", headers={"Authorization": offered} if offered else {})
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(("debug", "status"), [(True, 200), (False, 401)])
def test_without_any_token_set_it_is_open_only_while_debugging(api, settings, debug, status):
    settings.METRICS_TOKEN = ""
    settings.DEBUG = debug
    assert api.get("/metrics").status_code == status
    assert api.get("/metrics", headers={"Authorization": "Bearer "}).status_code == status


def test_a_job_is_counted_by_its_outcome():
    task = SimpleNamespace(name="orgs.tidy", request=SimpleNamespace())
    labels = {"task": "orgs.tidy", "outcome": "success"}
    before = value("mandate_jobs_total", **labels)
    metrics._job_began(task=task)
    metrics._job_ended(task=task, state="SUCCESS")
    metrics._job_ended(task=task, state="FAILURE")
    assert value("mandate_jobs_total", **labels) == before + 1
    assert value("mandate_jobs_total", task="orgs.tidy", outcome="failure") >= 1


def test_a_pools_connections_are_gauged(monkeypatch):
    pool = SimpleNamespace(
        get_stats=lambda: {"pool_size": 5, "pool_available": 2, "requests_waiting": 1}
    )
    fake = SimpleNamespace(_connection_pools={"default": pool})
    monkeypatch.setattr(metrics, "connections", _Connections(default=fake))
    metrics.read_pools()
    assert value("mandate_db_pool_connections", database="default", state="busy") == 3
    assert value("mandate_db_pool_connections", database="default", state="idle") == 2
    assert value("mandate_db_pool_waiting", database="default") == 1


class _Connections(dict):
    """Django's connections: iterated by alias."""


WORKER = """
from apps.common import metrics
metrics.observe_request(route="r", method="GET", status=200, seconds=0.1)
print(metrics.REQUESTS.labels("r", "GET", "200")._value.get())
"""
READER = """
from django.conf import settings
settings.configure(DATABASES={})
from apps.common import metrics
print(metrics.exposition()[0].decode())
"""


def test_several_processes_are_added_up(tmp_path):
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def run(code):
        return subprocess.run(
            [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
        ).stdout

    assert [run(WORKER).strip() for _ in range(3)] == ["1.0", "1.0", "1.0"]
    total = 'mandate_http_requests_total{method="GET",route="r",status="200"} 3.0'
    assert total in run(READER).splitlines()
