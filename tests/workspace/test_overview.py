"""The first page of an organization, the shell around every page."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.services.agents import create_agent
from apps.orgs.services import projects
from apps.orgs.services.keys import create_key
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from apps.workspace.context import NAV, initials
from tests.orgs.conftest import AT, join, owner_of
from tests.tenants.browsing import as_member, is_page


def test_the_overview_counts_and_says_what_is_left(org: Any) -> None:
    owner = owner_of(org)
    browser = as_member(org, owner)
    first = browser.get("/")
    assert is_page(first)
    assert [step["done"] for step in first.context["steps"]] == [False] * 5

    projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    create_key(name="Import", by=owner, at=AT)
    join(org, "viewer")

    page = browser.get("/")
    facts = {fact["label"]: fact["value"] for fact in page.context["facts"]}
    assert facts == {"Agents": 0, "Runs, 24 h": "0", "Projects": 2, "Members": 2, "API keys": 1}
    assert [step["done"] for step in page.context["steps"]] == [False, False, True, True, True]


def test_the_overview_shows_the_latest_work(org: Any) -> None:
    owner = owner_of(org)
    echo = create_agent(
        name="Echo",
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=AT,
    )
    browser = as_member(org, owner)
    registered = browser.get("/").context
    assert [step["done"] for step in registered["steps"][:2]] == [True, False]
    assert registered["runs"] == []

    for n in range(7):
        ask = Ask(agent=echo.slug, input={"text": f"Latest {n}"})
        invoke(ask, caller=owner.actor, at=timezone.now())

    page = browser.get("/")
    assert [step["done"] for step in page.context["steps"][:2]] == [True, True]
    assert [fact["value"] for fact in page.context["facts"][:2]] == [1, "7"]
    assert [run["title"] for run in page.context["runs"]] == [
        f"Latest {n}" for n in (6, 5, 4, 3, 2)
    ]
    assert b"Latest 6" in page.content


@pytest.mark.parametrize(("role", "steps"), [("admin", 5), ("member", 4), ("viewer", 1)])
def test_a_step_is_shown_to_who_can_take_it(org: Any, role: str, steps: int) -> None:
    assert len(as_member(org, join(org, role)).get("/").context["steps"]) == steps


def test_the_overview_shows_nothing_of_another_org(org: Any, other_org: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = owner_of(other_org)
        projects.create_project(name="Globex secret", actor=theirs.actor, at=AT)
    page = as_member(org, owner_of(org)).get("/")
    assert b"Globex" not in page.content
    assert next(f["value"] for f in page.context["facts"] if f["label"] == "Projects") == 1
    own = as_member(other_org, theirs).get("/")
    assert b"Globex secret" in own.content


def test_every_entry_of_the_sidebar_opens_and_marks_itself(org: Any) -> None:
    browser = as_member(org, owner_of(org))
    for _, label, url, _, _ in NAV:
        page = browser.get(url)
        items = [item for group in page.context["shell"]["nav"] for item in group["items"]]
        assert page.status_code == 200
        assert [item["label"] for item in items if item["current"]] == [label]


def test_a_chosen_project_stays_chosen(org: Any) -> None:
    projects.create_project(name="Apollo", actor=owner_of(org).actor, at=AT)
    shell = as_member(org, owner_of(org)).get("/?project=apollo").context["shell"]
    assert shell["project"] == {"name": "Apollo", "slug": "apollo"}
    urls = [item["url"] for group in shell["nav"] for item in group["items"]]
    assert all(url.endswith("?project=apollo") for url in urls)
    shell = as_member(org, owner_of(org)).get("/?project=no-such").context["shell"]
    assert shell["project"] is None


def test_more_projects_cost_the_shell_no_more_queries(org: Any) -> None:
    browser, owner = as_member(org, owner_of(org)), owner_of(org)

    def queries(upto: int) -> int:
        for n in range(upto):
            projects.create_project(name=f"P{upto} {n}", actor=owner.actor, at=AT)
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/").status_code == 200
        return len(seen)

    queries(1)
    assert queries(2) == queries(12) <= 17


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Ada Lovelace", "AL"), ("ada", "A"), ("x@y.example", "XY"), ("1 2", "?"), ("", "?")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters
