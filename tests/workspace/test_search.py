"""/search/ and the palette's list: what words find, for whom, and what it costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services.agents import create_agent
from apps.common.ids import public_id
from apps.orgs.principals import Principal
from apps.orgs.services import projects
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from apps.workspace import search
from tests.approvals.factories import ask
from tests.orgs.conftest import AT, join, owner_of
from tests.policies.factories import make_policy
from tests.tenants.browsing import Browser, as_member, is_page, is_part


@pytest.fixture
def browser(org: Any) -> Browser:
    return as_member(org, owner_of(org))


def make_agent(org: Any, name: str) -> Agent:
    who = owner_of(org)
    return create_agent(
        name=name,
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=who.member_id,
        actor=who.actor,
        at=AT,
    )


def say(org: Any, agent: Agent, text: str, **more: Any) -> Any:
    ask = Ask(agent=agent.slug, input={"text": text}, **more)
    return invoke(ask, caller=owner_of(org), at=timezone.now()).run


def found(browser: Browser, words: str, more: str = "") -> dict[str, list[str]]:
    groups = browser.get(f"/search/?q={words}{more}").context["groups"]
    return {group.label: [hit.label for hit in group.hits] for group in groups}


def test_words_find_each_kind_of_thing(org: Any, browser: Browser) -> None:
    agent = make_agent(org, "Heron desk")
    say(org, agent, "Where is the heron?")
    projects.create_project(name="Heron", actor=owner_of(org).actor, at=AT)
    join(org, "member", name="Hanna Heron")

    assert found(browser, "heron") == {
        "Agents": ["Heron desk"],
        "Runs": ["Where is the heron?"],
        "Projects": ["Heron"],
        "People": ["Hanna Heron"],
    }
    assert found(browser, "members")["Pages"] == ["Members"]
    assert found(browser, "invite")["Actions"] == ["Invite someone"]
    assert found(browser, "create+agent")["Actions"] == ["New agent"]
    assert found(browser, "zzzz") == {}


def test_who_is_found_is_where_it_leads_to(
    org: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [join(org, "member", name=f"Hanna Heron {n}") for n in range(2)]

    (group,) = browser.get("/search/?q=heron").context["groups"]

    for hit, who in zip(group.hits, people, strict=True):
        assert [row["email"] for row in browser.get(hit.url).context["members"]] == [who.email]
    assert group.more_url is None
    monkeypatch.setattr(search, "ON_PAGE", 1)
    (group,) = browser.get("/search/?q=heron").context["groups"]
    assert group.more_url == "/settings/members/?q=heron"


def test_a_run_is_found_by_id_title_caller_and_session(org: Any, browser: Browser) -> None:
    agent = make_agent(org, "Echo")
    run = say(org, agent, "First of all", session_id="talk-7")
    say(org, agent, "Another matter")

    for words in (public_id("run", run.id), "first of", "talk-7"):
        assert found(browser, words.replace(" ", "+"))["Runs"] == ["First of all"]
    assert len(found(browser, owner_of(org).member_label.replace(" ", "+"))["Runs"]) == 2
    assert "Runs" not in found(browser, f"run_{'0' * 32}")
    assert "Runs" not in found(browser, "run_broken")


def test_of_approvals_one_finds_those_that_one_may_read(
    org: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their titles repeat what runs take: who reads no data finds what they asked for."""
    make_policy(owner_of(org), name="Heron hours")
    ask(title="Feed the heron")
    ask(title="Count the herons", by=owner_of(org))
    assert found(browser, "heron") == {
        "Approvals": ["Count the herons", "Feed the heron"],
        "Policies": ["Heron hours"],
    }

    may = Principal.may
    hidden = ("data.read", "approvals.decide")
    monkeypatch.setattr(Principal, "may", lambda self, code: code not in hidden and may(self, code))
    assert found(browser, "heron")["Approvals"] == ["Count the herons"]


def test_runs_are_looked_for_among_the_newest_only(
    org: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch, rewrite: Any
) -> None:
    agent = make_agent(org, "Echo")
    old, middle, new = (say(org, agent, f"Heron {n}") for n in range(3))
    then = timezone.now() - search.LOOK_BACK - timedelta(hours=1)
    rewrite(Run.objects.filter(id=old.id), created_at=then)
    assert found(browser, "heron")["Runs"] == ["Heron 2", "Heron 1"]
    monkeypatch.setattr(search, "LOOKED_AT", 1)
    assert found(browser, "heron")["Runs"] == ["Heron 2"]
    assert found(browser, public_id("run", old.id))["Runs"] == ["Heron 0"]
    assert middle.id != new.id


def test_of_much_the_page_shows_some_and_leads_to_the_list(
    org: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "ON_PAGE", 2)
    for n in range(3):
        agent = make_agent(org, f"Heron {n}")
        projects.create_project(name=f"Heron {n}", actor=owner_of(org).actor, at=AT)
        say(org, agent, "Heron")
    groups = {
        group.label: group
        for group in browser.get("/search/?q=heron&project=default").context["groups"]
    }
    assert [len(groups[name].hits) for name in ("Agents", "Runs", "Projects")] == [2, 2, 2]
    assert groups["Agents"].more_url == "/agents/?project=default&q=heron"
    assert groups["Runs"].more_url == "/runs/?project=default&q=heron&level=all"
    assert groups["Projects"].more_url == "/projects/?project=default&q=heron"
    for group in (groups["Agents"], groups["Runs"], groups["Projects"]):
        assert browser.get(group.more_url).status_code == 200
    monkeypatch.setattr(search, "ON_PAGE", 3)
    assert browser.get("/search/?q=heron").context["groups"][0].more_url is None


def test_everything_found_can_be_opened_and_keeps_the_project(org: Any, browser: Browser) -> None:
    agent = make_agent(org, "Desk")
    say(org, agent, "Desk")
    projects.create_project(name="Desk", actor=owner_of(org).actor, at=AT)
    for words in ("desk", "", "e"):
        for group in browser.get(f"/search/?q={words}&project=default").context["groups"]:
            for hit in group.hits:
                path, _, place = hit.url.partition("#")
                assert "project=default" in path
                page = browser.get(path)
                assert page.status_code == 200, hit
                assert not place or f'id="{place}"' in page.content.decode()


def test_without_words_there_are_the_pages_and_what_can_be_done(browser: Browser) -> None:
    assert list(found(browser, "")) == ["Pages", "Actions"]
    assert list(found(browser, "+%00+")) == ["Pages", "Actions"]


def test_odd_words_are_words(org: Any, browser: Browser) -> None:
    make_agent(org, "100% sure")
    assert found(browser, "100%25")["Agents"] == ["100% sure"]
    assert found(browser, "%25%25") == {}
    assert found(browser, "x" * 5000) == {}
    assert b"&lt;script&gt;" in browser.get("/search/?q=<script>").content


def test_a_viewer_finds_no_action_that_they_may_not_take(org: Any) -> None:
    viewer = as_member(org, join(org, "viewer"))
    assert found(viewer, "new") == {"Actions": ["New API key"]}
    assert found(as_member(org, owner_of(org)), "new") == {
        "Actions": ["New agent", "New approval rule", "New policy", "New project", "New API key"]
    }
    assert "Settings: Close" not in found(viewer, "")["Pages"]
    assert "Settings: Close" in found(as_member(org, owner_of(org)), "")["Pages"]


def test_who_may_not_see_a_kind_finds_none_and_it_is_not_asked_for(
    org: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_agent(org, "Heron")
    projects.create_project(name="Heron", actor=owner_of(org).actor, at=AT)
    browser = as_member(org, owner_of(org))
    assert list(found(browser, "heron")) == ["Agents", "Projects"]
    with CaptureQueriesContext(connection) as before:
        found(browser, "heron")

    may = Principal.may
    monkeypatch.setattr(
        Principal, "may", lambda self, code: code != "agents.view" and may(self, code)
    )
    with CaptureQueriesContext(connection) as after:
        assert list(found(browser, "heron")) == ["Projects"]
    assert len(after) == len(before) - 1


def test_nothing_of_another_org_is_found(org: Any, other_org: Any, browser: Browser) -> None:
    with keys.holding(other_org.schema, other_org.id):
        run = say(other_org, make_agent(other_org, "Heron"), "Heron")
        projects.create_project(name="Heron", actor=owner_of(other_org).actor, at=AT)
    join(other_org, "member", name="Hanna Heron")
    assert found(browser, "heron") == {}
    assert found(browser, public_id("run", run.id)) == {}
    theirs = as_member(other_org, owner_of(other_org))
    assert list(found(theirs, "heron")) == ["Agents", "Runs", "Projects", "People"]


# Three ways, and the palette ------------------------------------------------------------------


def test_the_page_the_fragment_and_the_palette_are_of_one_address(
    org: Any, browser: Browser
) -> None:
    make_agent(org, "Heron")
    page = browser.get("/search/?q=heron")
    assert is_page(page) and b'value="heron"' in page.content
    part = browser.part("/search/?q=heron")
    assert is_part(part) and b'id="search-results"' in part.content
    palette = browser.part("/search/?part=palette&q=heron")
    assert is_part(palette)
    assert b'role="option"' in palette.content and b'id="search-results"' not in palette.content
    # A reader without scripts who comes by the palette's address sees the page.
    assert is_page(browser.get("/search/?part=palette&q=heron"))


def test_the_palette_gets_few_of_each_and_the_way_to_all(org: Any, browser: Browser) -> None:
    for n in range(search.IN_PALETTE + 1):
        make_agent(org, f"Heron {n}")
    html = browser.part("/search/?part=palette&q=heron&project=default").content.decode()
    assert html.count('role="option"') == search.IN_PALETTE + 1
    assert 'href="/agents/heron-0/?project=default"' in html
    assert 'href="/search/?project=default&amp;q=heron"' in html
    assert 'aria-labelledby="found-1"' in html and 'id="found-1-1"' in html
    assert browser.part("/search/?part=palette&q=zzzz").content.strip() == b""
    assert browser.part("/search/?part=palette&q=").content.strip() == b""


def test_more_to_find_costs_no_more_queries(org: Any, browser: Browser) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.part("/search/?part=palette&q=heron").status_code == 200
        return len(seen)

    browser.get("/")  # the host's org is remembered from here on
    nothing = queries()
    for n in range(4):
        say(org, make_agent(org, f"Heron {n}"), f"Heron {n}")
        projects.create_project(name=f"Heron {n}", actor=owner_of(org).actor, at=AT)
        join(org, "viewer", name=f"Heron {n}")
    assert queries() == nothing == 10  # four for who asks, six for what is found
