"""The list of runs follows by itself: what it asks, and what it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.common.ids import public_id
from apps.runs import spine
from apps.runs.views import listing
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import Browser, is_page, is_part


@pytest.fixture
def echo(org: Any, scripts: Any) -> Any:
    return make_agent("echo")


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """In which the times of all rows read the same."""
    clock = timezone.now().replace(second=0)

    class Clock:
        @staticmethod
        def now() -> Any:
            return clock

    monkeypatch.setattr(listing, "timezone", Clock)


def poll(browser: Browser, url: str, target: str = "run-rows") -> Any:
    return browser.get(url, HX_Request="true", HX_Target=target)


def test_nothing_is_sent_while_nothing_changed(browser: Browser, echo: Any) -> None:
    admit(echo, title="First")
    url = browser.get("/runs/?agent=echo").context["poll_url"]
    assert url.startswith("/runs/?agent=echo&seen=")

    answer = poll(browser, url)

    assert (answer.status_code, answer.content) == (204, b"")
    assert is_page(browser.get(url))  # whoever opens that address gets a page


def test_what_changed_comes_as_rows_and_a_foot(browser: Browser, echo: Any) -> None:
    first = admit(echo, title="First")
    url = browser.get("/runs/").context["poll_url"]
    admit(echo, title="Second")

    answer = poll(browser, url)

    html = answer.content.decode()
    assert answer.status_code == 200 and is_part(answer) and "HX-Push-Url" not in answer
    assert html.lstrip().startswith('<tbody id="run-rows"') and "<table" not in html
    assert '<div class="card-foot" id="run-foot" hx-swap-oob="true">' in html
    assert "2 runs shown" in html and "run-views" not in html and "<form" not in html
    assert f'id="{public_id("run", first.run_id)}"' in html  # by which a focused link is found
    again = poll(browser, answer.context["poll_url"])
    assert again.status_code == 204
    ending = spine.Ending("succeeded", output={})  # type: ignore[arg-type]
    assert spine.close_run(first.hold, ending, at=timezone.now()) == "ours"
    assert b"Succeeded" in poll(browser, answer.context["poll_url"]).content


def test_the_first_run_and_the_last_of_a_filter_bring_the_whole_results(
    browser: Browser, echo: Any
) -> None:
    empty = browser.get("/runs/?status=running")
    assert b"No run matches" in empty.content and b'hx-trigger="every 5s"' in empty.content
    held = admit(echo, title="First")

    came = poll(browser, empty.context["poll_url"], "run-results")
    assert came["HX-Retarget"] == "#run-results" and b"<table" in came.content

    ending = spine.Ending("succeeded", output={})  # type: ignore[arg-type]
    assert spine.close_run(held.hold, ending, at=timezone.now()) == "ours"
    went = poll(browser, came.context["poll_url"])
    assert went["HX-Retarget"] == "#run-results" and b"No run matches" in went.content


def test_only_the_first_page_of_the_newest_follows(browser: Browser, echo: Any) -> None:
    for n in range(55):
        admit(echo, title=f"Run {n}")
    first = browser.get("/runs/")
    assert first.context["poll_url"] and b"data-live" in first.content
    second = browser.get(f"/runs/{first.context['older_url']}")
    assert second.context["poll_url"] is None and b"data-live" not in second.content
    assert browser.get("/runs/?sort=started").context["poll_url"] is None
    assert len(first.context["runs"]) == 50 and b"50 runs shown" in first.content


def test_an_agents_own_list_follows_too(browser: Browser, echo: Any) -> None:
    admit(echo, title="First")
    url = browser.get("/agents/echo/runs/").context["poll_url"]
    assert poll(browser, url).status_code == 204
    admit(echo, title="Second")
    answer = poll(browser, url)
    assert b"Second" in answer.content and b"<table" not in answer.content and is_part(answer)


def test_a_filter_brings_what_stands_around_it_and_a_short_address(
    browser: Browser, echo: Any
) -> None:
    admit(echo, title="First")
    answer = browser.part("/runs/?q=&status=running&agent=&range=7d&from=2026-01-01&to=&level=")

    html = answer.content.decode()
    assert answer["HX-Push-Url"] == "/runs/?status=running&range=7d"
    assert 'id="run-views" hx-swap-oob="true"' in html and "Save this view" in html
    assert 'href="/runs/export/?status=running&amp;range=7d"' in html
    assert 'id="run-clear" hx-swap-oob="true"' in html and ">Clear<" in html
    assert "/v1/runs?status=running&amp;since=" in html
    typed = browser.get("/runs/?q=&status=running&agent=&range=7d&from=2026-01-01&to=&level=")
    assert (typed.status_code, typed["Location"]) == (302, "/runs/?status=running&range=7d")
    assert is_page(browser.get(typed["Location"]))
