"""Pages of refusals and failures: in the shell for a member, and never failing themselves."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext

from apps.common.errors import RateLimited
from apps.workspace import searching
from tests.orgs.conftest import join, owner_of
from tests.tenants.browsing import anonymous, as_member, is_page


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have the page of search raise it."""

    def search(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(searching.search, "search", search)


def test_a_missing_page_offers_the_search_to_a_member_only(org: Any) -> None:
    page = as_member(org, owner_of(org)).get("/no-such-page/?project=default")
    text = page.content.decode()
    assert page.status_code == 404 and is_page(page)
    assert 'action="/search/"' in text and 'name="project" value="default"' in text
    stranger = anonymous().get("/no-such-page/")
    assert stranger.status_code == 404 and b"/search/" not in stranger.content


def test_a_refusal_names_what_is_missing_the_role_and_who_can_change_it(org: Any) -> None:
    page = as_member(org, join(org, "viewer")).get("/agents/new/")
    text = page.content.decode()
    assert page.status_code == 403 and is_page(page)
    assert "agents.edit: register" in text and "you are Viewer." in text
    assert 'aria-label="Main"' in text


def test_a_failure_is_a_page_that_asks_nothing(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = as_member(org, owner_of(org))
    browser.client.raise_request_exception = False
    fail_with(monkeypatch, RuntimeError("secret of the house"))
    with CaptureQueriesContext(connection) as failing:
        page = browser.get("/search/")
    assert page.status_code == 500 and is_page(page)
    assert b"secret of the house" not in page.content
    assert b'href="/status/"' in page.content
    assert page["X-Request-Id"].encode() in page.content
    assert len(failing) <= 5  # who asks, before the view failed; nothing after


def test_the_page_of_a_failure_needs_no_context_at_all(db: None) -> None:
    with CaptureQueriesContext(connection) as seen:
        for name in ("400.html", "403.html", "404.html", "429.html", "500.html", "503.html"):
            assert render_to_string(name).count("<h1") == 1
    assert len(seen) == 0


def test_a_database_that_is_away_is_a_503_that_leads_to_the_status(
    org: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = as_member(org, owner_of(org))
    fail_with(monkeypatch, OperationalError("server closed the connection at 10.0.0.7"))
    page = browser.get("/search/")
    assert page.status_code == 503 and is_page(page)
    assert b"10.0.0.7" not in page.content and b'href="/status/"' in page.content


def test_too_many_requests_say_how_long_to_wait(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = as_member(org, owner_of(org))
    fail_with(monkeypatch, RateLimited(retry_after=7))
    page = browser.get("/search/")
    assert page.status_code == 429 and is_page(page)
    assert b"Wait 7 seconds" in page.content
    assert page["Retry-After"] == "7"
