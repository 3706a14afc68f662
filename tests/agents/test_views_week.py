"""What the pages of agents say of their last seven days, and how an agent is called."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.activity import Performance
from apps.agents.models import Agent
from apps.agents.services.agents import create_agent
from apps.orgs.models import Permission, RolePermission
from tests.orgs.conftest import AT, Api, token_for
from tests.runs.factories import capability, make_agent
from tests.runs.history import past_run
from tests.tenants.browsing import Browser, as_member, is_page

HOUR = timedelta(hours=1)


@pytest.fixture
def busy(org: Any) -> Agent:
    agent, now = make_agent("busy"), timezone.now()
    for ms in (100, 200, 300):
        past_run(agent, now - HOUR, ms=ms, cost_micros=20_000)
    past_run(agent, now - HOUR, "failed", ms=400)
    past_run(agent, now - timedelta(days=8), "failed", ms=90_000, cost_micros=1_000_000)
    return agent


def test_the_list_says_how_each_did(browser: Browser, busy: Agent) -> None:
    make_agent("idle")

    page = browser.get("/agents/")

    rows = {row["slug"]: row["week"] for row in page.context["agents"]}
    assert rows["idle"] == Performance()
    did = rows["busy"]
    assert (did.runs, did.success, did.spend_micros, did.is_cut) == (4, 0.75, 60_000, False)
    assert did.p50_ms == pytest.approx(250)
    for cell in ("75%", "250 ms", "$0.06"):
        assert f'<td class="end lo">{cell}</td>' in page.content.decode()
    assert b"Figures are of the last 7 days." in page.content


def test_its_page_says_and_draws_its_week(browser: Browser, busy: Agent) -> None:
    page = browser.get("/agents/busy/")
    html = page.content.decode()
    assert is_page(page)
    assert "<dt>Success, 7 d</dt><dd>75%</dd>" in html and "<dt>Runs, 7 d</dt><dd>4</dd>" in html
    assert 'aria-label="Runs in the last 7 days: 4, of which 3 succeeded and 1 failed."' in html
    assert 'aria-label="Duration of runs in the last 7 days: p50 250 ms, p95 385 ms."' in html


def test_nothing_is_drawn_of_an_agent_that_never_ran(browser: Browser, org: Any) -> None:
    make_agent("idle")
    html = browser.get("/agents/idle/").content.decode()
    assert "chart-plot" not in html and "<dt>Success, 7 d</dt><dd>—</dd>" in html


def test_who_may_not_see_runs_is_told_none_of_it(
    org: Any, somebody: Callable[..., Any], busy: Agent
) -> None:
    viewer = as_member(org, somebody("viewer"))
    assert b"chart-plot" in viewer.get("/agents/busy/").content
    code = Permission.objects.get(code="runs.view")
    RolePermission.objects.filter(permission=code, role__slug="viewer").delete()

    page, listed = viewer.get("/agents/busy/"), viewer.get("/agents/")

    assert page.status_code == listed.status_code == 200
    assert page.context["week"] is None and b"chart-plot" not in page.content
    assert b"Success" not in page.content and b"Success" not in listed.content


def test_the_line_that_calls_it_does(org: Any, owner: Any, browser: Browser) -> None:
    create_agent(
        name="Parrot",
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=AT,
    )

    line = shlex.split(browser.get("/agents/parrot/").context["call"])

    url, body = line[-3], json.loads(line[-1])
    assert url.endswith("/v1/agents/parrot/invoke") and line[-2] == "-d"
    answer = Api(token_for(org, owner)).post("/agents/parrot/invoke", body)
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


def test_the_line_names_the_tool_where_there_are_several(browser: Browser, org: Any) -> None:
    make_agent("two", tools=[capability("a"), capability("b")])
    assert '{"tool": "a", "input": {}}' in browser.get("/agents/two/").context["call"]


@pytest.mark.parametrize("status", ["draft", "suspended"])
def test_what_cannot_be_called_has_no_such_line(browser: Browser, org: Any, status: str) -> None:
    make_agent("still", status=status)
    assert browser.get("/agents/still/").context["call"] is None
