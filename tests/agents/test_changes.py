"""Agents changed: by version, frozen into the next manifest, each change with its event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from apps.agents import selectors
from apps.agents.errors import AgentStateConflict
from apps.agents.models import Agent
from apps.agents.services import agents, changing
from apps.common.errors import NotFound, PreconditionFailed
from apps.common.etag import Precondition
from apps.common.ids import public_id, uuid7
from apps.orgs.models import Member
from apps.orgs.services import projects
from apps.orgs.services.members import remove_member
from apps.trust.canonical import dumps
from tests.agents.factories import URL, make_agent, make_desk, refusal, rows
from tests.orgs.conftest import AT

LATER = AT + timedelta(minutes=5)


def change(agent: Agent, owner: Any, **fields: Any) -> Agent:
    expected = fields.pop("expected", Precondition())
    about: Any = {"expected": expected, "may_move": lambda: True, "actor": owner.actor, "at": LATER}
    return agents.update_agent(agent_id=agent.id, fields=fields, **about)


def person(member_id: UUID) -> dict[str, str]:
    """A member as the record names one."""
    found = Member.objects.get(id=member_id)
    return {"id": public_id("mem", found.id), "name": found.label}


def test_an_agent_answers_to_a_present_member_and_an_open_project(
    owner: Any, somebody: Any
) -> None:
    gone = somebody("member")
    remove_member(member_id=gone.member_id, by=owner, at=AT)
    old = projects.create_project(name="Old", actor=owner.actor, at=AT)
    old = projects.archive_project(project_id=old.id, actor=owner.actor, at=AT)
    agent = make_agent(owner)

    assert set(refusal(lambda: make_agent(owner, accountable_id=gone.member_id))) == {"accountable"}
    assert set(refusal(lambda: make_agent(owner, project=old))) == {"project"}
    assert set(refusal(lambda: change(agent, owner, accountable_id=gone.member_id))) == {
        "accountable"
    }
    assert set(refusal(lambda: change(agent, owner, project=old))) == {"project"}
    assert Agent.objects.get(id=agent.id).version == 1


def test_an_agent_whose_project_or_person_is_gone_can_still_be_changed(
    owner: Any, somebody: Any
) -> None:
    who = somebody("member")
    project = projects.create_project(name="Old", actor=owner.actor, at=AT)
    agent = make_agent(owner, project=project, accountable_id=who.member_id)
    projects.archive_project(project_id=project.id, actor=owner.actor, at=AT)
    remove_member(member_id=who.member_id, by=owner, at=AT)
    archived = selectors.get_agent(agent.slug).project
    same = {"project": archived, "accountable_id": who.member_id}
    assert change(agent, owner, name="Other", **same).name == "Other"


def test_what_is_changed_is_recorded_as_it_was_and_as_it_is(
    owner: Any, somebody: Any, events: Any
) -> None:
    agent = make_desk(owner)
    other, project = somebody("member"), projects.create_project(name="P", actor=owner.actor, at=AT)

    changed = change(
        agent,
        owner,
        name="Desk",
        purpose="Orders.",
        timeout_seconds=5,
        config={"url": f"{URL}/2"},
        project=project,
        accountable_id=other.member_id,
    )

    found = Agent.objects.get(id=agent.id)
    assert (found.name, found.purpose, found.timeout_seconds, found.config) == (
        "Desk",
        "Orders.",
        5,
        {"url": f"{URL}/2"},
    )
    assert (found.project, found.accountable_id) == (project, other.member_id)
    assert (found.version, found.updated_at, found.slug) == (2, LATER, "order-desk")
    assert changed.manifest == found.manifest
    action, subject, detail = events()[-1]
    assert (action, subject) == ("agents.agent.updated", public_id("agt", agent.id))
    assert detail == {
        "old": {
            "name": "Order desk",
            "purpose": "",
            "timeout_seconds": 60,
            "config": {"url": URL},
            "project": "default",
            "accountable": person(owner.member_id),
        },
        "new": {
            "name": "Desk",
            "purpose": "Orders.",
            "timeout_seconds": 5,
            "config": {"url": f"{URL}/2"},
            "project": "p",
            "accountable": person(other.member_id),
        },
    }


def test_nothing_changed_is_no_version_no_manifest_and_no_event(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    before = (rows(), len(events()))
    change(agent, owner, name="Order desk", config={"url": URL}, status="active")
    assert Agent.objects.get(id=agent.id).version == 1
    assert (rows(), len(events())) == before


def test_each_change_freezes_a_manifest_of_its_own(owner: Any, somebody: Any) -> None:
    agent, other = make_desk(owner), somebody("member")
    changes: list[dict[str, Any]] = [
        {"name": "Desk"},
        {"purpose": "Orders."},
        {"timeout_seconds": 5},
        {"config": {"url": f"{URL}/2"}},
        {"project": projects.create_project(name="P", actor=owner.actor, at=AT)},
        {"accountable_id": other.member_id},
    ]
    for version, fields in enumerate(changes, start=2):
        change(agent, owner, **fields)
        newest = selectors.list_manifests(agent.id)[0]
        assert (newest.version, newest.document["version"]) == (version, version), fields
        assert Agent.objects.get(id=agent.id).manifest == newest
    assert (newest.document["project"], newest.document["accountable"]) == (
        "p",
        public_id("mem", other.member_id),
    )


def test_another_person_of_the_same_name_is_a_change(owner: Any, somebody: Any) -> None:
    agent = make_agent(owner)
    namesake = somebody("member", name=owner.member_label)
    change(agent, owner, accountable_id=namesake.member_id)
    assert Agent.objects.get(id=agent.id).accountable_id == namesake.member_id
    assert selectors.list_manifests(agent.id).count() == 2


def test_what_an_agent_was_before_is_a_version_again(owner: Any) -> None:
    agent = make_agent(owner)
    change(agent, owner, purpose="Now with one.")
    change(agent, owner, purpose="")
    found = list(selectors.list_manifests(agent.id))
    assert [m.version for m in found] == [3, 2, 1]
    # A history, no set.
    assert {**found[0].document, "version": 1} == found[2].document
    assert found[0].digest != found[2].digest
    assert Agent.objects.get(id=agent.id).manifest == found[0]


def test_a_change_of_an_old_version_is_refused(owner: Any, events: Any) -> None:
    agent = make_agent(owner)
    read = Precondition((changing.version_of(agent),))
    change(agent, owner, name="First", expected=read)
    before = len(events())

    with pytest.raises(PreconditionFailed):
        change(agent, owner, name="Second", expected=read)
    with pytest.raises(PreconditionFailed):
        agents.retire_agent(agent_id=agent.id, expected=read, actor=owner.actor, at=LATER)

    found = Agent.objects.get(id=agent.id)
    assert (found.name, found.status, len(events())) == ("First", "active", before)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"purpose": "p" * 501}, "purpose"),
        ({"timeout_seconds": 601}, "timeout_seconds"),
        ({"config": {"skill": "nothing"}}, "config.skill"),
        ({"accountable_id": UUID(int=7)}, "accountable"),
    ],
)
def test_what_an_agent_may_not_become(owner: Any, fields: dict[str, Any], field: str) -> None:
    agent = make_agent(owner)
    assert set(refusal(lambda: change(agent, owner, **fields))) == {field}
    assert Agent.objects.get(id=agent.id).version == 1


def test_another_skill_brings_its_tool_and_keeps_what_was_said_of_one_that_stays(
    owner: Any,
) -> None:
    from apps.agents.services.capabilities import update_capability

    agent = make_agent(owner, config={"skill": "json-transform"})
    update_capability(
        agent_id=agent.id,
        name="json-transform",
        fields={"price_micros": 9, "auth": "person", "description": "Ours."},
        actor=owner.actor,
        at=AT,
    )

    change(agent, owner, config={"skill": "json-transform", "expression": "a.b"})
    (kept,) = selectors.get_agent(agent.slug).capabilities.all()
    assert (kept.price_micros, kept.auth, kept.description) == (9, "person", "Ours.")
    assert "expression" not in kept.input_schema["properties"]

    change(agent, owner, config={"skill": "echo"})
    (other,) = selectors.get_agent(agent.slug).capabilities.all()
    assert (other.name, other.price_micros, other.auth) == ("echo", 0, "any")
    assert [m.version for m in selectors.list_manifests(agent.id)] == [4, 3, 2, 1]


def test_a_manifest_has_an_upper_size(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_desk(owner, purpose="x" * 100)
    size = len(dumps(selectors.get_manifest(agent.id, 1).document))
    monkeypatch.setattr(changing, "DOCUMENT_MAX", size)
    change(agent, owner, purpose="y" * 100)  # the control: as large as it may be
    assert set(refusal(lambda: change(agent, owner, purpose="z" * 101))) == {"capabilities"}
    assert Agent.objects.get(id=agent.id).purpose == "y" * 100


def test_a_config_is_checked_before_the_agent_is_held(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check takes the time that it takes; invocations wait for the row."""
    from django.db import connection

    from apps.agents.runtimes.http import RUNTIME

    agent, order = make_desk(owner), []
    really = RUNTIME.check_config

    def check(config: Any) -> Any:
        order.append("checked")
        return really(config)

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        if "FOR UPDATE" in sql:
            order.append("held")
        return execute(sql, *rest)

    monkeypatch.setattr(RUNTIME, "check_config", check)
    with connection.execute_wrapper(note):
        change(agent, owner, config={"url": f"{URL}/2"})
    assert order[:2] == ["checked", "held"]


def test_what_is_not_there_is_not_found(owner: Any) -> None:
    gone = Agent(id=uuid7())
    for call in (
        lambda: change(gone, owner, name="A"),
        lambda: change(gone, owner, config={}),
        lambda: agents.retire_agent(agent_id=gone.id, actor=owner.actor, at=AT),
        lambda: agents.kill_agent(agent_id=gone.id, actor=owner.actor, at=AT),
        lambda: agents.rotate_signing_secret(agent_id=gone.id, actor=owner.actor, at=AT),
        lambda: selectors.get_agent("nobody"),
        lambda: selectors.get_agent(public_id("agt", gone.id)),
        lambda: selectors.get_agent("run_" + "0" * 32),
        lambda: selectors.get_manifest(make_agent(owner).id, 2),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_retired_agent_stays_as_it_was(owner: Any) -> None:
    agent = make_desk(owner)
    agents.retire_agent(agent_id=agent.id, actor=owner.actor, at=AT)
    for call in (
        lambda: change(agent, owner, name="A"),
        lambda: agents.retire_agent(agent_id=agent.id, actor=owner.actor, at=LATER),
        lambda: agents.rotate_signing_secret(agent_id=agent.id, actor=owner.actor, at=LATER),
    ):
        with pytest.raises(AgentStateConflict):
            call()
    assert Agent.objects.get(id=agent.id).version == 2
