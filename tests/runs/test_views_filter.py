"""The filter of the list of runs: its controls, and that the API finds the same by them."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from apps.runs.models import Run
from tests.orgs.conftest import Api
from tests.runs.factories import CALLER, admit, child_of, grant, make_agent
from tests.tenants.browsing import Browser

DAY = timedelta(days=1)


@pytest.fixture
def runs(org: Any, scripts: Any) -> None:
    """One of each age, the middle one of another agent and caller."""
    now = timezone.now()
    echo, other = make_agent("echo"), make_agent("other")
    for title, agent, age in (("Hour", echo, 0.1), ("Days", other, 3), ("Weeks", echo, 20)):
        admitted = admit(agent, title=title, session_id=title.lower())
        Run.objects.filter(id=admitted.run_id).update(created_at=now - age * DAY)
    Run.objects.filter(title="Days").update(caller_id="mem_7", caller_label="Ada")
    old = admit(echo, title="Old")
    Run.objects.filter(id=old.run_id).update(created_at=now - 40 * DAY)


def titles(browser: Browser, query: str) -> list[str]:
    return [row["title"] for row in browser.part(f"/runs/?{query}").context["runs"]]


def selected(browser: Browser, query: str) -> dict[str, str]:
    """What the controls of the filter say."""
    html = browser.get(f"/runs/?{query}").content.decode()
    found = {}
    for name, options in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', html, re.S):
        chosen = re.findall(r'<option value="([^"]*)" selected>', options)
        found[name] = chosen[0] if chosen else ""
    return found


def test_a_time_is_counted_back_from_now_or_between_days(browser: Browser, runs: None) -> None:
    first = f"{timezone.now() - 21 * DAY:%Y-%m-%d}"
    assert titles(browser, "range=24h") == ["Hour"]
    assert titles(browser, "range=7d") == ["Hour", "Days"]
    assert titles(browser, "range=30d") == ["Hour", "Days", "Weeks"]
    assert titles(browser, "") == titles(browser, "range=") == ["Hour", "Days", "Weeks", "Old"]
    assert titles(browser, f"range=custom&from={first}") == ["Hour", "Days", "Weeks"]
    assert titles(browser, f"range=custom&from={first}&to={first}") == []
    # What was typed into days that are hidden now doesn't count.
    assert titles(browser, f"range=24h&from={first}") == ["Hour"]
    assert len(titles(browser, f"range=&from={first}")) == 4


def test_the_controls_mirror_the_address(browser: Browser, runs: None) -> None:
    query = "status=running&agent=other&caller=mem_7&range=7d&level=all"
    said = {"status": "running", "agent": "other", "caller": "mem_7", "range": "7d", "level": "all"}
    assert selected(browser, query) == said
    assert titles(browser, query) == ["Days"]
    assert selected(browser, "from=2026-01-31")["range"] == "custom"
    assert selected(browser, "") == dict.fromkeys(said, "")


def test_callers_can_be_chosen_also_those_of_long_ago(browser: Browser, runs: None) -> None:
    parent, echo = make_agent("concierge"), make_agent("called")
    grant(parent, echo)
    child_of(admit(parent).hold, echo, caller=CALLER)

    def offered(query: str = "") -> dict[str, list[str]]:
        groups = browser.get(f"/runs/?{query}").context["callers"]
        return {name: [actor.id for actor in actors] for name, actors in groups}

    assert offered()["People and their keys"] == ["mem_7", "key_1"]  # Ada, Test key
    assert "key_9" in offered("caller=key_9")["People and their keys"]
    Run.objects.filter(title="Old").update(caller_id="agt_1", caller_type="agent")
    assert offered()["Agents"] == ["agt_1"]


@pytest.mark.parametrize(
    "query",
    [
        "level=all&status=running",
        "level=all&agent=other",
        "level=all&caller=mem_7",
        "level=all&session_id=weeks",
        "level=all&range=24h",
        "level=all&range=7d&agent=echo",
        "level=all&project=default",
        "level=all&range=custom&from=2026-01-01",
    ],
)
def test_the_api_finds_the_same_by_the_line_that_the_page_shows(
    browser: Browser, api: Api, runs: None, query: str
) -> None:
    page = browser.get(f"/runs/?{query}")
    url = shlex.split(page.context["command"])[-1]
    parts = urlsplit(url)
    answer = api.get(f"{parts.path.removeprefix('/v1')}?{parts.query}")
    assert answer.status_code == 200, answer.content
    shown = [row["id"] for row in page.context["runs"]]
    assert [run["id"] for run in answer.json()["results"]] == shown and shown
