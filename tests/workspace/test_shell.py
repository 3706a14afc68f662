"""The shell around every page and its sidebar."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.orgs.services import projects
from apps.workspace.context import NAV, initials
from tests.orgs.conftest import AT, owner_of
from tests.tenants.browsing import as_member


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
