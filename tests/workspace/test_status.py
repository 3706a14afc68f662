"""/status/ and the pill that leads there: for everybody, on every host, also without a database."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError

from apps.common import system_state
from apps.workspace import watching
from tests.orgs.conftest import join, owner_of
from tests.tenants.browsing import anonymous, as_member, is_page, is_part


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the parts answer; a test may change it before it asks."""
    found = {"web": "ok", "postgres": "ok", "valkey": "ok", "workers": "ok", "beat": "ok"}
    memory = system_state.Memory(ask=lambda: found, beside=lambda work: work())
    monkeypatch.setattr(system_state, "_memory", memory)
    return found


@pytest.mark.usefixtures("state")
def test_everybody_may_read_it_on_every_host(acme: Any) -> None:
    for browser in (anonymous(), anonymous(acme), as_member(acme, owner_of(acme))):
        page = browser.get("/status/")
        assert page.status_code == 200 and is_page(page)
        assert b"All systems normal" in page.content
        assert b"Acme" not in page.content


@pytest.mark.usefixtures("state")
def test_it_asks_the_database_nothing(acme: Any) -> None:
    browser = as_member(acme, owner_of(acme))
    with CaptureQueriesContext(connection) as seen:
        assert browser.get("/status/").status_code == 200
    assert len(seen) == 0


def test_it_says_what_is_down_and_what_that_means(acme: Any, state: dict[str, str]) -> None:
    state["workers"] = "down"
    page = anonymous(acme).get("/status/").content.decode()
    assert "Degraded: workers." in page
    assert "Queued runs start late." in page
    assert page.count("Does not answer") == 1
    assert page.count("Works</span>") == 4


@pytest.mark.usefixtures("state")
def test_htmx_gets_the_pill_alone(acme: Any) -> None:
    part = anonymous(acme).part("/status/")
    assert is_part(part)
    assert part.content.decode().strip().startswith('<a class="system" id="system"')
    assert b'hx-trigger="every 60s"' in part.content
    assert is_page(anonymous(acme).get("/status/", HX_Request="true", HX_Boosted="true"))


def test_it_is_read_and_nothing_else(acme: Any) -> None:
    assert anonymous(acme).post("/status/").status_code == 405


def test_each_page_says_how_it_stands(acme: Any, state: dict[str, str]) -> None:
    viewer = as_member(acme, join(acme, "viewer"))
    assert b">All systems normal</span>" in viewer.get("/agents/").content
    state["beat"] = "down"
    assert b">All systems normal</span>" in viewer.get("/agents/").content  # asked lately


def test_a_page_before_the_first_answer_asks_again_by_itself(acme: Any) -> None:
    page = as_member(acme, owner_of(acme)).get("/agents/").content
    assert b">Checking systems</span>" in page
    assert b'hx-trigger="load delay:1500ms"' in page


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([], {"workers": "down", "provisioner": "down"}),
        ([{"worker@a": {}}], {"workers": "ok", "provisioner": "down"}),
        ([{"worker@a": {}}, {"provisioner@b": {}}], {"workers": "ok", "provisioner": "ok"}),
    ],
)
def test_workers_are_known_by_who_answers(
    monkeypatch: pytest.MonkeyPatch, answers: Any, found: dict[str, str]
) -> None:
    monkeypatch.setattr(watching.app.control, "ping", lambda timeout: answers)
    assert watching.ask_workers() == found


def test_without_a_broker_nothing_is_said_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def ping(timeout: float) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(watching.app.control, "ping", ping)
    assert watching.ask_workers() == {}
