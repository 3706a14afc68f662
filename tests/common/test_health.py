from __future__ import annotations

import pytest
from django.db import connections

from apps.common import health, valkey
from apps.common.health import DownError, Readiness
from apps.tenants import beat


@pytest.fixture
def parts(api, db, settings, valkey_url, monkeypatch):
    """Asks /readyz afresh: nothing remembered, and the checks may be changed."""
    settings.REDIS_URL = valkey_url
    valkey.client().set(beat.HEARD, 1)
    monkeypatch.setattr(health, "_checks", dict(health._checks))

    def ask():
        monkeypatch.setattr(health, "_readiness", Readiness())
        health._migrated.clear()
        answer = api.get("/readyz")
        return answer.status_code, answer.json()

    yield ask
    health._migrated.clear()


ALL_OK = {"postgres": "ok", "valkey": "ok", "migrations": "ok", "beat": "ok", "policies": "ok"}


def test_a_process_that_lives_says_so_on_any_host_without_touching_anything(api):
    answer = api.get("/healthz", headers={"Host": "anything.at.all"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]
    assert api.post("/healthz").status_code == 405


def test_with_all_parts_up_it_is_ready(parts):
    assert parts() == (200, {"status": "ok", "parts": ALL_OK})


def test_a_valkey_that_is_down_is_named(parts, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    down = {**ALL_OK, "valkey": "down", "beat": "down"}
    assert parts() == (503, {"status": "unavailable", "parts": down})


def test_without_a_sweeper_requests_are_served_and_it_is_said(parts, monkeypatch):
    monkeypatch.setattr(beat, "HEARD", "mandate:nobody-says-this")
    assert parts() == (200, {"status": "degraded", "parts": {**ALL_OK, "beat": "down"}})


def test_a_postgres_that_is_down_is_named_without_its_address(parts, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")
    down = {**ALL_OK, "postgres": "down", "migrations": "down"}
    assert parts() == (503, {"status": "unavailable", "parts": down})


def test_a_schema_that_is_behind_is_named(parts, monkeypatch):
    monkeypatch.setattr(health, "_newest_migrations", lambda: frozenset({("tenants", "9999_next")}))
    assert parts() == (503, {"status": "unavailable", "parts": {**ALL_OK, "migrations": "down"}})


def test_another_app_can_add_a_part_and_its_reason_is_not_told(parts):
    def check():
        raise DownError("3 orgs at 10.0.0.7 are behind")

    health.register("orgs", check)
    assert parts() == (503, {"status": "unavailable", "parts": {**ALL_OK, "orgs": "down"}})


def test_the_answer_is_remembered_for_a_second(monkeypatch):
    asked, now = [], [100.0]
    monkeypatch.setattr(health, "_checks", {"x": lambda: asked.append(1)})
    readiness = Readiness(clock=lambda: now[0])
    readiness.parts()
    now[0] += 0.9
    readiness.parts()
    assert len(asked) == 1
    now[0] += 0.1
    assert readiness.parts() == {"x": "ok"}
    assert len(asked) == 2
