"""The first page of an organization, the shell around every page, and the gallery."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.services.agents import create_agent
from apps.orgs.services import projects
from apps.orgs.services.keys import create_key
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from apps.tenants.models import User
from apps.workspace.context import NAV, initials
from tests.orgs.conftest import AT, join, owner_of
from tests.tenants.browsing import anonymous, as_member, is_page, signed_in, user_of


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


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Ada Lovelace", "AL"), ("ada", "A"), ("x@y.example", "XY"), ("1 2", "?"), ("", "?")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_the_gallery_is_for_operators_or_debug(acme: Any, settings: Any) -> None:
    user = user_of(owner_of(acme))
    assert anonymous().get("/ui/").status_code == 404
    assert signed_in(user).get("/ui/").status_code == 404
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert signed_in(user).get("/ui/").status_code == 200
    settings.DEBUG = True
    assert anonymous().get("/ui/").status_code == 200
