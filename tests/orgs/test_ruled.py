"""What policies go by is changed by who may activate them: tags, and the project of an agent."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services.agents import create_agent
from apps.agents.services.changing import version_of
from apps.common.ids import public_id
from apps.orgs.models import Project
from apps.orgs.services import projects
from apps.policies.models import Attachment, Policy
from tests.orgs.conftest import AT, Api, problem
from tests.runs.governing import in_force
from tests.tenants.browsing import as_member


@pytest.fixture(autouse=True)
def guard(org: Any) -> None:
    """Anywhere: it is enough that one decides at all."""
    in_force("")


@pytest.fixture
def payments(org: Any, owner: Any) -> Project:
    return projects.create_project(name="Payments", tags=["money"], actor=owner.actor, at=AT)


@pytest.fixture
def desk(owner: Any, payments: Project) -> Agent:
    return create_agent(
        name="Desk",
        runtime="builtin",
        config={"skill": "echo"},
        project=payments,
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=AT,
    )


def tags() -> list[str]:
    return Project.objects.get(slug="payments").tags


def home() -> str:
    return Agent.objects.get(slug="desk").project.slug


def nothing_is_in_force() -> None:
    Policy.objects.update(retired_at=timezone.now())


def test_a_member_takes_no_tag_away_while_a_policy_is_in_force(
    api_as: Any, payments: Project, events: Any
) -> None:
    member, before = api_as("member"), len(events())
    answer = member.patch("/projects/payments", {"tags": []})
    assert problem(answer) == (403, "permission_denied")
    told = answer.json()
    assert (told["permission"], told["missing_in"]) == ("policies.activate", "role")
    assert told["detail"].startswith("Policies in force go by a project’s tags")
    assert told["granted_by_roles"] == ["owner", "admin"]
    assert tags() == ["money"]
    assert "orgs.project.updated" not in [action for action, *_ in events()[before:]]

    # The controls: what isn't about tags, the same tags again, and who may activate.
    assert member.patch("/projects/payments", {"name": "Paid"}).status_code == 200
    assert member.patch("/projects/payments", {"tags": ["money"]}).status_code == 200
    assert api_as("admin").patch("/projects/payments", {"tags": []}).json()["tags"] == []


def test_a_member_moves_no_agent_while_a_policy_is_in_force(api_as: Any, desk: Agent) -> None:
    member = api_as("member")
    answer = member.patch("/agents/desk", {"project": "default", "name": "Moved"})
    assert problem(answer) == (403, "permission_denied")
    assert answer.json()["permission"] == "policies.activate"
    assert (home(), Agent.objects.get().name) == ("payments", "Desk")

    same = {"project": "payments", "name": "Counter"}
    assert member.patch("/agents/desk", same).json()["name"] == "Counter"
    assert api_as("admin").patch("/agents/desk", {"project": "default"}).status_code == 200
    assert home() == "default"


def test_whether_policies_are_in_force_is_asked_only_where_it_matters(
    api_as: Any, desk: Agent
) -> None:
    """Most changes are of something else; they are spared a round trip."""
    member: Api = api_as("member")

    def asks(path: str, body: dict[str, Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            member.patch(path, body)
        return sum('"policy_attachments"' in query["sql"] for query in queries)

    assert asks("/projects/payments", {"name": "Paid", "tags": ["money"]}) == 0
    assert asks("/agents/desk", {"name": "Counter", "project": "payments"}) == 0
    assert (
        asks("/projects/payments", {"tags": []})
        == asks("/agents/desk", {"project": "default"})
        == 1
    )


def test_a_key_that_is_narrowed_to_projects_takes_none_away(
    api_as: Any, owner: Any, payments: Project
) -> None:
    narrow = api_as("owner", scopes=["projects.edit"])
    answer = narrow.patch("/projects/payments", {"tags": []})
    assert (answer.status_code, answer.json()["missing_in"]) == (403, "scopes")
    assert tags() == ["money"]


@pytest.mark.parametrize("without", ["retired", "unattached"])
def test_where_no_policy_is_in_force_members_do_both(
    api_as: Any, desk: Agent, without: str
) -> None:
    if without == "retired":
        nothing_is_in_force()
    else:
        Attachment.objects.all().delete()
    member: Api = api_as("member")
    assert member.patch("/projects/payments", {"tags": ["new"]}).status_code == 200
    assert member.patch("/agents/desk", {"project": "default"}).status_code == 200
    assert (tags(), home()) == (["new"], "default")


def test_the_projects_page_shows_tags_as_fixed_and_refuses_others(
    org: Any, somebody: Any, browser: Any, payments: Project
) -> None:
    member = as_member(org, somebody("member"))
    read = {"version": projects.version_of(payments), "tags": "money"}
    html = member.get("/projects/payments/").content.decode()
    assert "readonly" in html and "only who may activate policies" in html
    assert "readonly" not in browser.get("/projects/payments/").content.decode()

    refused = member.post("/projects/payments/", {**read, "name": "Paid", "tags": ""})
    assert refused.status_code == 403
    assert "policies.activate" in refused.content.decode()
    assert (tags(), Project.objects.get(slug="payments").name) == (["money"], "Payments")
    assert member.post("/projects/payments/", {**read, "name": "Paid"}).status_code == 303
    nothing_is_in_force()
    assert "readonly" not in member.get("/projects/payments/").content.decode()


def test_a_tag_that_a_form_cannot_write_is_left_as_it_is(
    browser: Any, org: Any, owner: Any
) -> None:
    odd = projects.create_project(name="Odd", tags=["a, b"], actor=owner.actor, at=AT)
    sent = {"name": "Even", "tags": "a, b", "version": projects.version_of(odd)}
    assert browser.post("/projects/odd/", sent).status_code == 303
    assert Project.objects.get(slug="odd").tags == ["a, b"]


def test_the_agents_page_offers_no_other_project_and_refuses_one(
    org: Any, somebody: Any, browser: Any, desk: Agent
) -> None:
    member = as_member(org, somebody("member"))
    sent = {
        "version": version_of(desk),
        "name": "Counter",
        "purpose": "",
        "project": "default",
        "accountable": public_id("mem", desk.accountable_id),
        "timeout_seconds": "60",
        "skill": "echo",
    }
    html = member.get("/agents/desk/settings/").content.decode()
    assert 'value="payments"' in html and 'value="default"' not in html
    assert "only who may activate policies" in html
    assert 'value="default"' in browser.get("/agents/desk/settings/").content.decode()

    refused = member.post("/agents/desk/settings/", sent)
    assert refused.status_code == 403
    assert "policies.activate" in refused.content.decode()
    assert (home(), Agent.objects.get().name) == ("payments", "Desk")
    kept = member.post("/agents/desk/settings/", {**sent, "project": "payments"})
    assert kept.status_code == 303 and Agent.objects.get().name == "Counter"
