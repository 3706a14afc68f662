"""The frame around every page: the choice of a project, what it carries, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.services.agents import create_agent
from apps.orgs.services import projects, roles
from apps.tenants import keys
from apps.workspace.context import KEYS, NAV, PROJECTS_SHOWN
from tests.orgs.conftest import AT, join, owner_of
from tests.tenants.browsing import Browser, as_member


@pytest.fixture
def browser(org: Any) -> Browser:
    return as_member(org, owner_of(org))


@pytest.fixture
def apollo(org: Any) -> Any:
    return projects.create_project(name="Apollo", actor=owner_of(org).actor, at=AT)


def shell_of(browser: Browser, path: str) -> Any:
    return browser.get(path).context["shell"]


def choices(shell: Any) -> dict[str, str]:
    return {"": shell["all_projects_url"], **{p["slug"]: p["url"] for p in shell["projects"]}}


# The choice -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("apollo")
def test_a_choice_keeps_the_page_and_its_filter_but_no_place_in_the_list(browser: Browser) -> None:
    shell = shell_of(browser, "/runs/?status=failed&q=x&project=default")
    assert choices(shell) == {
        "": "/runs/?status=failed&q=x",
        "apollo": "/runs/?status=failed&q=x&project=apollo",
        "default": "/runs/?status=failed&q=x&project=default",
    }
    assert shell["keeps_page"] is True
    listed = shell_of(browser, "/projects/?status=active&part=x")
    assert listed["all_projects_url"] == "/projects/?status=active"


@pytest.mark.usefixtures("apollo")
def test_from_the_page_of_one_thing_a_choice_leads_to_its_list(org: Any, browser: Browser) -> None:
    """Else it would show an agent of one project under the name of another."""
    who = owner_of(org)
    create_agent(
        name="Echo",
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=who.member_id,
        actor=who.actor,
        at=AT,
    )
    shell = shell_of(browser, "/agents/echo/?tool=x")
    assert choices(shell)["apollo"] == "/agents/?project=apollo"
    assert choices(shell)[""] == "/agents/"
    assert shell["keeps_page"] is False
    assert shell_of(browser, "/projects/apollo/")["all_projects_url"] == "/projects/"


def test_from_a_refused_form_or_a_missing_page_a_choice_leads_somewhere(browser: Browser) -> None:
    refused = browser.post("/settings/invitations/", {"email": "no"})
    assert refused.status_code == 422
    assert refused.context["shell"]["all_projects_url"] == "/settings/"
    missing = browser.get("/no-such-page/?x=1")
    assert missing.status_code == 404
    assert missing.context["shell"]["all_projects_url"] == "/"


@pytest.mark.usefixtures("apollo")
@pytest.mark.parametrize("path", ["/", "/agents/", "/runs/", "/settings/", "/settings/keys/"])
def test_a_chosen_project_is_in_every_link_of_the_shell(browser: Browser, path: str) -> None:
    page = browser.get(f"{path}?project=apollo")
    shell = page.context["shell"]
    assert shell["project"] == {"name": "Apollo", "slug": "apollo"}
    urls = [item["url"] for group in shell["nav"] for item in group["items"]]
    urls += [action["url"].partition("#")[0] for action in shell["actions"]]
    urls += [tab["url"] for tab in page.context.get("settings_nav", [])]
    urls += [shell["search_url"], shell["new_project_url"].partition("#")[0]]
    assert [url for url in urls if not url.endswith("?project=apollo")] == []
    assert b'name="project" value="apollo"' in page.content


@pytest.mark.usefixtures("apollo")
def test_a_chosen_project_outlives_a_form(org: Any, browser: Browser) -> None:
    page = browser.get("/settings/?project=apollo").content.decode()
    assert 'action="/settings/?project=apollo"' in page
    saved = browser.post("/settings/?project=apollo", {"name": "Acme"})
    assert (saved.status_code, saved["Location"]) == (303, "/settings/?project=apollo")
    plain = browser.post("/settings/", {"name": "Acme"})
    assert (plain.status_code, plain["Location"]) == (303, "/settings/")


@pytest.mark.usefixtures("apollo")
def test_a_project_that_is_made_is_chosen(browser: Browser) -> None:
    made = browser.post("/projects/?project=apollo", {"name": "Gemini"})
    assert made["Location"] == "/projects/gemini/?project=gemini"


def test_a_project_that_is_not_there_is_not_carried_on(org: Any, browser: Browser) -> None:
    missing = browser.get("/runs/?project=no-such")
    assert missing.status_code == 404
    shell = missing.context["shell"]
    assert shell["project"] is None
    assert {item["url"] for group in shell["nav"] for item in group["items"]} == {
        url for _, _, url, _, _ in NAV
    }


def test_an_archived_project_is_still_what_was_chosen(
    org: Any, browser: Browser, apollo: Any
) -> None:
    projects.archive_project(project_id=apollo.id, actor=owner_of(org).actor, at=AT)
    assert "apollo" not in choices(shell_of(browser, "/runs/"))
    chosen = shell_of(browser, "/runs/?project=apollo")
    assert chosen["project"] == {"name": "Apollo", "slug": "apollo"}
    assert "apollo" in choices(chosen)


@pytest.mark.parametrize(
    "path", ["/runs/", "/runs/?project=apollo", "/settings/members/?project=apollo"]
)
def test_projects_are_named_to_who_may_see_them(org: Any, apollo: Any, path: str) -> None:
    def page_for(*codes: str) -> Any:
        given = ["runs.view", "members.view", *codes]
        said = {"name": codes[0], "permissions": given}
        role = roles.create_role(**said, by=owner_of(org), at=AT)
        return as_member(org, join(org, role.slug)).get(path)

    seen, unseen = page_for("projects.view"), page_for("projects.create")

    assert b"Apollo" in seen.content and b'id="menu-project"' in seen.content
    shell = unseen.context["shell"]
    assert unseen.status_code == 200 and b"Apollo" not in unseen.content
    assert (shell["projects"], shell["new_project_url"]) == ([], None)
    # What the address says it may still say, and be left again
    chosen = {"name": "apollo", "slug": "apollo"} if "apollo" in path else None
    assert shell["project"] == chosen
    assert (b'id="menu-project"' in unseen.content) == (chosen is not None)


def test_another_orgs_project_can_not_be_chosen(org: Any, other_org: Any, browser: Browser) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = owner_of(other_org)
        projects.create_project(name="Manhattan", actor=theirs.actor, at=AT)
    assert shell_of(browser, "/?project=manhattan")["project"] is None
    own = shell_of(as_member(other_org, theirs), "/?project=manhattan")
    assert own["project"] == {"name": "Manhattan", "slug": "manhattan"}


def test_of_many_projects_the_switcher_shows_some_and_leads_to_the_rest(
    org: Any, browser: Browser
) -> None:
    assert shell_of(browser, "/")["more_projects_url"] is None
    for n in range(PROJECTS_SHOWN):
        projects.create_project(name=f"P {n:02}", actor=owner_of(org).actor, at=AT)
    last = f"p-{PROJECTS_SHOWN - 1}"
    shell = shell_of(browser, "/")
    assert len(shell["projects"]) == PROJECTS_SHOWN
    assert shell["more_projects_url"] == "/projects/"
    assert last not in choices(shell)
    assert last in choices(shell_of(browser, f"/?project={last}"))


def test_only_who_may_make_projects_and_keys_is_offered_it(org: Any) -> None:
    viewer = shell_of(as_member(org, join(org, "viewer")), "/")
    assert viewer["new_project_url"] is None
    assert [action["label"] for action in viewer["actions"]] == [
        "Decisions of policies",
        "New API key",
    ]
    member = shell_of(as_member(org, join(org, "member")), "/")
    assert member["new_project_url"] == "/projects/#new-project"


# What works without scripts, and what the keyboard leads to -----------------------------------


def test_without_scripts_search_is_a_link_and_the_switcher_a_list_of_links(
    browser: Browser,
) -> None:
    page = browser.get("/agents/").content.decode()
    assert '<a class="find" id="find" href="/search/"' in page
    assert 'popovertarget="menu-project"' in page
    assert '<a href="/agents/?project=default" data-project="default">' in page


def test_every_letter_leads_to_an_entry_of_its_own(browser: Browser) -> None:
    page = browser.get("/").content.decode()
    assert set(KEYS) <= {url for _, _, url, _, _ in NAV}
    assert len(set(KEYS.values())) == len(KEYS)
    for letter in KEYS.values():
        assert f'data-go="{letter}"' in page
        assert f"<kbd>g</kbd> <kbd>{letter}</kbd>" in page


def test_a_group_without_an_entry_is_not_shown(browser: Browser) -> None:
    labels = [group["label"] for group in shell_of(browser, "/")["nav"]]
    assert labels == ["Project", "Governance", "Organization"]


# What it costs --------------------------------------------------------------------------------


def test_the_shell_adds_two_queries_to_a_page(org: Any, browser: Browser) -> None:
    """One for the projects and one for the person's orgs; the fragment is the page without them."""
    browser.get("/projects/")  # the host's org is remembered from here on
    with CaptureQueriesContext(connection) as whole:
        browser.get("/projects/?project=default")
    with CaptureQueriesContext(connection) as part:
        browser.part("/projects/?project=default")
    assert len(whole) - len(part) == 2
