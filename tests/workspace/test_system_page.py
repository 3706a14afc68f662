"""The system page: every part, asked for real, and what it says of one that is down."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configured

from apps.common import health, valkey
from apps.common.health import DownError, Readiness
from apps.tenants import beat, schemas
from apps.tenants.models import Org
from apps.workspace.operators import system
from apps.workspace.operators.door import HAS_ROWS
from config import env
from tests.tenants.browsing import signed_in
from tests.workspace.operators import make_operator

PATH = "/admin/system/"


@pytest.fixture(autouse=True)
def _asked_afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(system, "_readiness", Readiness())
    valkey.client().set(beat.HEARD, 1, ex=30)
    yield
    valkey.client().delete(beat.HEARD)


def states(context: Any) -> dict[str, str]:
    return {part.name: part.state for part in context["parts"]}


def test_it_says_which_part_answers(acme: Any) -> None:
    page = signed_in(make_operator()).get(PATH)
    assert page.status_code == 200
    up = dict.fromkeys(("postgres", "valkey", "migrations", "beat", "policies"), "ok")
    assert states(page.context) == {**up, "worker": "down", "provisioner": "down"}
    assert b"none answered within 1 s" in page.content
    versions = page.context["versions"]
    assert versions["Python"] == sys.version.split()[0]
    assert versions["Postgres"][:2].isdecimal() and versions["Valkey"][0].isdecimal()
    assert b"<style" not in page.content and b" style=" not in page.content


def test_a_part_that_is_down_is_named(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise DownError("secret-host refused")

    monkeypatch.setattr(health, "_checks", {**health._checks, "valkey": down, "beat": down})
    page = signed_in(make_operator()).get(PATH)
    assert page.status_code == 200
    found = states(page.context)
    assert (found["postgres"], found["valkey"], found["beat"]) == ("ok", "down", "down")
    assert (found["worker"], found["provisioner"]) == ("unknown", "unknown")
    assert {queue.length for queue in page.context["queues"]} == {None}
    assert page.context["versions"]["Valkey"] == "unknown"
    assert b"secret-host" not in page.content


def test_it_knows_how_much_waits(acme: Any) -> None:
    browser, name = signed_in(make_operator()), env.text("QUEUE_PROVISIONER")
    before = {queue.name: queue.length for queue in browser.get(PATH).context["queues"]}
    valkey.client().rpush(name, "a message", "and another")
    try:
        after = {queue.name: queue.length for queue in browser.get(PATH).context["queues"]}
    finally:
        valkey.client().rpop(name, 2)
    assert after == {**before, name: before[name] + 2}


def test_it_counts_orgs_by_schema_and_names_those_behind(acme: Any) -> None:
    browser, current = signed_in(make_operator()), schemas.current_version()
    count = Org.objects.filter(schema_version=current, state__in=HAS_ROWS).count()
    page = browser.get(PATH)
    assert page.context["migrations"] == [{"schema_version": current, "orgs": count}]
    assert page.context["behind"] == []

    Org.objects.filter(id=acme.id).update(schema_version="older")

    page = browser.get(PATH)
    assert page.context["migrations"][-1] == {"schema_version": "older", "orgs": 1}
    assert [org.slug for org in page.context["behind"]] == ["acme"]
    assert f"/admin/tenants/org/{acme.id}/change/".encode() in page.content


def test_a_worker_that_runs_is_named(committed: None) -> None:
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", "worker"]
    options = ["--hostname", "worker@here", "--queues", "nobody-sends-here", "--concurrency", "1"]
    environ = {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_OWNER_URL"},
        "DJANGO_SETTINGS_MODULE": configured.SETTINGS_MODULE,
        "MANDATE_PROCESS": "worker",
    }
    worker = subprocess.Popen([*command, *options, "--without-gossip"], env=environ)
    try:
        deadline = time.monotonic() + 60
        while (found := system._workers(True)[0]).state != "ok" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (found.state, found.detail) == ("ok", "worker@here")
        assert system._workers(True)[1].state == "down"
    finally:
        worker.terminate()
        worker.wait(30)
