"""Projects in a browser: the list with its filter, one project, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.orgs.models import Project
from apps.orgs.services import projects, roles
from tests.orgs.conftest import AT
from tests.tenants.browsing import Browser, as_member, is_page, is_part


@pytest.fixture
def make(org: Any, owner: Any) -> Callable[..., Project]:
    return lambda name, **more: projects.create_project(name=name, actor=owner.actor, at=AT, **more)


def test_the_list_is_a_page_and_a_part(browser: Browser, make: Any) -> None:
    make("Apollo")

    page, part = browser.get("/projects/"), browser.part("/projects/")
    boosted = browser.get("/projects/", HX_Request="true", HX_Boosted="true")

    assert is_page(page) and is_page(boosted) and is_part(part)
    assert b'id="project-results"' in part.content
    assert b">Apollo</a>" in page.content and b">Apollo</a>" in part.content
    assert "HX-Request" in page["Vary"]


def test_the_filter_finds_by_name_and_state(browser: Browser, make: Any, owner: Any) -> None:
    make("Apollo")
    shelved = make("Zeus")
    projects.archive_project(project_id=shelved.id, actor=owner.actor, at=AT)

    def named(query: str) -> list[str]:
        html = browser.part(f"/projects/?{query}").content.decode()
        return sorted(slug for slug in ("apollo", "zeus") if f'href="/projects/{slug}/"' in html)

    assert named("") == ["apollo", "zeus"]
    assert named("q=apo") == ["apollo"]
    assert named("status=archived") == ["zeus"]
    assert named("status=active") == ["apollo"]
    nothing = browser.get("/projects/?q=nothing-has-this-name")
    assert b"No project matches" in nothing.content and b"Clear filters" in nothing.content


def test_the_pages_of_the_list_keep_its_filter(browser: Browser, make: Any) -> None:
    for n in range(60):
        make(f"Paged {n}")

    first = browser.get("/projects/?q=paged")
    older = first.context["older_url"]
    assert older.startswith("?q=paged&after=") and first.context["newer_url"] is None
    second = browser.get(f"/projects/{older}")

    slugs = [row["slug"] for page in (first, second) for row in page.context["projects"]]
    assert len(slugs) == len(set(slugs)) == 60
    assert second.context["newer_url"].startswith("?q=paged&before=")
    assert browser.get("/projects/?after=broken").status_code == 400


def test_a_project_is_made_without_scripts(browser: Browser, events: Any) -> None:
    answer = browser.post("/projects/", {"name": "Apollo", "tags": "moon, crewed"})

    assert (answer.status_code, answer["Location"]) == (303, "/projects/apollo/?project=apollo")
    made = Project.objects.get(slug="apollo")
    assert (made.name, made.tags) == ("Apollo", ["moon", "crewed"])
    assert [action for action, *_ in events()] == ["orgs.project.created"]
    assert b"Project Apollo was created." in browser.get("/projects/apollo/").content


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "", "slug": "kept-slug"}, "name"),
        ({"name": "x" * 81, "slug": "kept-slug"}, "name"),
        ({"name": "Other", "slug": "apollo", "tags": "kept-slug"}, "slug"),
        ({"name": "Other", "slug": "kept slug"}, "slug"),
        ({"name": "Other", "slug": "kept-slug", "tags": "x" * 41}, "tags"),
    ],
)
def test_a_refused_project_keeps_what_was_typed(
    browser: Browser, make: Any, events: Any, data: dict[str, str], field: str
) -> None:
    make("Apollo")
    before = Project.objects.count(), len(events())

    answer = browser.post("/projects/", data)

    assert answer.status_code == 422 and is_page(answer)
    assert list(answer.context["form"].errors) == [field]
    assert b"kept" in answer.content
    assert (Project.objects.count(), len(events())) == before


def test_a_project_is_a_page_and_its_form_a_part(browser: Browser, make: Any) -> None:
    make("Apollo", tags=["moon"])

    page, part = browser.get("/projects/apollo/"), browser.part("/projects/apollo/")

    assert is_page(page) and is_part(part)
    assert b'id="project-form"' in part.content and b'value="moon"' in part.content


def test_a_change_is_saved_and_audited(browser: Browser, make: Any, events: Any) -> None:
    project = make("Apollo")
    before = len(events())

    answer = browser.post(
        "/projects/apollo/",
        {"name": "Artemis", "tags": "moon", "version": projects.version_of(project)},
    )

    assert (answer.status_code, answer["Location"]) == (303, "/projects/apollo/")
    project.refresh_from_db()
    assert (project.name, project.tags, project.version) == ("Artemis", ["moon"], 2)
    [(action, _, detail)] = events()[before:]
    assert action == "orgs.project.updated"
    assert (detail["old"]["name"], detail["new"]["name"]) == ("Apollo", "Artemis")


def test_a_newer_change_is_never_overwritten(browser: Browser, make: Any, owner: Any) -> None:
    project = make("Apollo")
    read = projects.version_of(project)
    projects.update_project(project_id=project.id, name="Theirs", actor=owner.actor, at=AT)
    sent = {"name": "Mine", "tags": "", "version": read}

    page = browser.post("/projects/apollo/", sent)
    part = browser.post("/projects/apollo/", sent, HX_Request="true")

    for answer in (page, part):
        assert answer.status_code == 422
        assert b"has changed" in answer.content and b'value="Mine"' in answer.content
    assert is_page(page) and is_part(part)
    project.refresh_from_db()
    assert (project.name, project.version) == ("Theirs", 2)


@pytest.mark.parametrize("version", [None, "", "nonsense", '"nonsense"'])
def test_a_form_without_the_version_it_read_changes_nothing(
    browser: Browser, make: Any, version: str | None
) -> None:
    project = make("Apollo")
    data = {"name": "Mine"} | ({} if version is None else {"version": version})

    answer = browser.post("/projects/apollo/", data)

    assert answer.status_code == 422 and b'value="Mine"' in answer.content
    project.refresh_from_db()
    assert (project.name, project.version) == ("Apollo", 1)


def test_a_refused_change_names_its_field(browser: Browser, make: Any) -> None:
    project = make("Apollo")
    version = projects.version_of(project)

    answer = browser.post("/projects/apollo/", {"name": "", "tags": "kept", "version": version})

    assert answer.status_code == 422 and list(answer.context["form"].errors) == ["name"]
    assert b'value="kept"' in answer.content
    project.refresh_from_db()
    assert (project.name, project.tags) == ("Apollo", [])


def test_a_project_is_put_away_and_brought_back(browser: Browser, make: Any, events: Any) -> None:
    project = make("Apollo")
    before = len(events())
    assert b"Archive project" in browser.get("/projects/apollo/").content

    for verb in ("archive", "restore"):
        answer = browser.post(f"/projects/apollo/{verb}/")
        assert (answer.status_code, answer["Location"]) == (303, "/projects/apollo/")
        project.refresh_from_db()
        assert (project.archived_at is not None) is (verb == "archive")
    assert [action for action, *_ in events()[before:]] == [
        "orgs.project.archived",
        "orgs.project.restored",
    ]


def test_who_may_change_a_project_puts_it_away_as_by_the_api(
    org: Any, make: Any, somebody: Any
) -> None:
    project, member, viewer = make("Apollo"), somebody("member"), somebody("viewer")

    looking = as_member(org, viewer)
    assert b"Archive project" not in looking.get("/projects/apollo/").content
    assert looking.post("/projects/apollo/archive/").status_code == 403
    project.refresh_from_db()
    assert project.archived_at is None

    working = as_member(org, member)
    assert b"Archive project" in working.get("/projects/apollo/").content
    assert working.post("/projects/apollo/archive/").status_code == 303
    project.refresh_from_db()
    assert project.archived_at is not None


def test_bringing_a_project_back_asks_nothing(browser: Browser, owner: Any, make: Any) -> None:
    projects.archive_project(project_id=make("Apollo").id, actor=owner.actor, at=AT)
    page = browser.get("/projects/apollo/").content.decode()
    assert 'action="/projects/apollo/restore/"' in page
    assert 'id="confirm-project"' not in page


def test_the_default_project_stays(browser: Browser, org: Any, events: Any) -> None:
    default = Project.objects.get(is_default=True)

    answer = browser.post(f"/projects/{default.slug}/archive/")

    assert answer.status_code == 409 and events() == []
    default.refresh_from_db()
    assert default.archived_at is None
    assert b"Archive project" not in browser.get(f"/projects/{default.slug}/").content


def test_a_viewer_reads_and_is_offered_no_form(
    org: Any, owner: Any, somebody: Any, make: Any
) -> None:
    make("Apollo")
    roles.create_role(name="Night shift", permissions=["projects.edit"], by=owner, at=AT)
    viewer = as_member(org, somebody("viewer"))

    assert b'id="new-project"' not in viewer.get("/projects/").content
    page = viewer.get("/projects/apollo/").content
    assert b'id="project-form"' not in page
    assert b"Ask somebody who is Owner, Admin, Member or Night shift." in page
    assert b"<form" not in viewer.part("/projects/apollo/").content
