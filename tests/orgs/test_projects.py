"""Projects: made, changed by version, put away, deleted; each with its line in the audit log."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.errors import Invalid, NotFound, PreconditionFailed
from apps.common.etag import Precondition
from apps.common.ids import public_id, uuid7
from apps.orgs import selectors
from apps.orgs.errors import ProjectInUse, SlugInUse
from apps.orgs.models import Project
from apps.orgs.services import projects
from tests.orgs.conftest import AT


def make(owner: Any, **fields: Any) -> Project:
    return projects.create_project(**{"name": "Support", **fields}, actor=owner.actor, at=AT)


def test_a_project_is_made_and_recorded(owner: Any, events: Any) -> None:
    project = make(owner, name="  Customer support ", tags=["emea", " emea", "vip"])

    found = Project.objects.get(id=project.id)
    assert (found.name, found.slug, found.tags) == (
        "Customer support",
        "customer-support",
        ["emea", "vip"],
    )
    assert (found.version, found.created_at, found.is_default) == (1, AT, False)
    facts = {"name": found.name, "slug": found.slug, "tags": found.tags, "archived": False}
    assert events() == [("orgs.project.created", public_id("prj", project.id), {"new": facts})]


def test_a_name_that_is_taken_gets_the_next_slug(owner: Any) -> None:
    assert [make(owner).slug for _ in range(3)] == ["support", "support-2", "support-3"]


def test_a_slug_is_given_once(owner: Any, events: Any) -> None:
    make(owner, slug="mine")
    before = (Project.objects.count(), len(events()))

    with pytest.raises(SlugInUse):
        make(owner, slug="mine")

    assert (Project.objects.count(), len(events())) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"name": " "},
        {"name": "x" * 81},
        {"slug": "Not a slug"},
        {"slug": "-x"},
        {"tags": [""]},
        {"tags": ["x" * 41]},
        {"tags": [str(n) for n in range(21)]},
    ],
)
def test_values_that_will_not_do_make_nothing(owner: Any, events: Any, fields: Any) -> None:
    before = Project.objects.count()
    with pytest.raises(Invalid):
        make(owner, **fields)
    assert (Project.objects.count(), events()) == (before, [])


def test_a_change_makes_a_version_and_records_only_what_changed(owner: Any, events: Any) -> None:
    project = make(owner)
    changed = projects.update_project(
        project_id=project.id,
        name="Help",
        tags=[],
        expected=Precondition((projects.version_of(project),)),
        actor=owner.actor,
        at=AT,
    )
    assert (changed.name, changed.version) == ("Help", 2)
    assert events()[1:] == [
        (
            "orgs.project.updated",
            public_id("prj", project.id),
            {"old": {"name": "Support"}, "new": {"name": "Help"}},
        )
    ]


def test_no_change_is_no_version(owner: Any, events: Any) -> None:
    project = make(owner)
    same = projects.update_project(project_id=project.id, name="Support", actor=owner.actor, at=AT)
    assert (same.version, len(events())) == (1, 1)


def test_an_old_version_changes_and_deletes_nothing(owner: Any, events: Any) -> None:
    project = make(owner)
    old = Precondition((projects.version_of(project),))
    projects.update_project(project_id=project.id, name="First", actor=owner.actor, at=AT)

    with pytest.raises(PreconditionFailed):
        projects.update_project(
            project_id=project.id, name="Second", expected=old, actor=owner.actor, at=AT
        )
    with pytest.raises(PreconditionFailed):
        projects.delete_project(project_id=project.id, expected=old, actor=owner.actor, at=AT)

    assert Project.objects.get(id=project.id).name == "First"
    assert len(events()) == 2


def test_archived_and_restored(owner: Any, events: Any) -> None:
    project = make(owner)
    projects.archive_project(project_id=project.id, actor=owner.actor, at=AT)
    assert project not in selectors.list_projects()
    assert list(selectors.list_projects(archived=True)) == [project]

    projects.restore_project(project_id=project.id, actor=owner.actor, at=AT)
    assert project in selectors.list_projects()
    assert [action for action, _, _ in events()[1:]] == [
        "orgs.project.archived",
        "orgs.project.restored",
    ]


def test_the_default_project_stays(owner: Any, events: Any) -> None:
    default = selectors.get_default_project()
    for act in (projects.archive_project, projects.delete_project):
        with pytest.raises(ProjectInUse):
            act(project_id=default.id, actor=owner.actor, at=AT)
    assert selectors.get_default_project().archived_at is None
    assert events() == []


def test_a_project_is_deleted_with_its_last_words_on_record(owner: Any, events: Any) -> None:
    project = make(owner)
    projects.delete_project(project_id=project.id, actor=owner.actor, at=AT)

    assert not Project.objects.filter(id=project.id).exists()
    action, subject, detail = events()[-1]
    assert (action, subject) == ("orgs.project.deleted", public_id("prj", project.id))
    assert detail["old"]["slug"] == "support"


def test_what_is_not_there_is_not_found(owner: Any) -> None:
    for act in (projects.archive_project, projects.delete_project):
        with pytest.raises(NotFound):
            act(project_id=uuid7(), actor=owner.actor, at=AT)


@pytest.mark.parametrize(
    "ref", ["nothing", "prj_", "prj_" + "0" * 32, "mem_" + "0" * 32, "É", "a" * 99]
)
def test_a_reference_that_names_nothing_is_not_found(org: Any, ref: str) -> None:
    with pytest.raises(NotFound):
        selectors.get_project(ref)


def test_an_id_and_a_slug_find_the_same_project(owner: Any) -> None:
    project = make(owner)
    assert selectors.get_project("support") == project
    assert selectors.get_project(public_id("prj", project.id)) == project


def test_the_filter_reads_name_slug_and_tag(owner: Any) -> None:
    one, two = make(owner, name="Alpha", tags=["red"]), make(owner, name="Beta", slug="zeta")
    assert list(selectors.list_projects(q="ALPH")) == [one]
    assert list(selectors.list_projects(q="red")) == [one]
    assert list(selectors.list_projects(q="zet")) == [two]
