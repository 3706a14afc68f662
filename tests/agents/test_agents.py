"""Agents: registered, changed by version, frozen into manifests; each change with its event."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from apps.agents import selectors
from apps.agents.errors import AgentSlugInUse, AgentStateConflict
from apps.agents.models import Agent, Capability, Manifest
from apps.agents.services import agents, changing
from apps.common.errors import Invalid, NotFound, PreconditionFailed
from apps.common.etag import Precondition
from apps.common.ids import public_id, uuid7
from apps.orgs.errors import ProjectInUse
from apps.orgs.models import Member
from apps.orgs.services import projects
from apps.orgs.services.members import remove_member
from apps.trust.canonical import dumps
from apps.trust.models import SealedSecret
from apps.trust.secrets import get_secret_store
from tests.agents.factories import URL, make_agent, make_desk
from tests.orgs.conftest import AT

LATER = AT + timedelta(minutes=5)


def change(agent: Agent, owner: Any, **fields: Any) -> Agent:
    expected = fields.pop("expected", Precondition())
    return agents.update_agent(
        agent_id=agent.id, fields=fields, expected=expected, actor=owner.actor, at=LATER
    )


def rows() -> tuple[int, ...]:
    return tuple(kind.objects.count() for kind in (Agent, Capability, Manifest, SealedSecret))


def refusal(call: Any) -> dict[str, str]:
    """The fields that are refused, with the reasons; nothing has been written."""
    before = rows()
    with pytest.raises(Invalid) as caught:
        call()
    assert rows() == before
    return {error["field"]: error["message"] for error in caught.value.extra["errors"]}


def test_an_agent_is_registered_frozen_and_recorded(owner: Any, events: Any) -> None:
    made = make_agent(owner, name="  Echo desk ", purpose="Repeats.")

    agent = selectors.get_agent("echo-desk")
    assert agent == made
    assert (agent.name, agent.purpose, agent.status, agent.status_note) == (
        "Echo desk",
        "Repeats.",
        "active",
        "",
    )
    assert (agent.runtime, agent.config, agent.timeout_seconds) == (
        "builtin",
        {"skill": "echo"},
        60,
    )
    assert (agent.project.slug, agent.accountable_id) == ("default", owner.member_id)
    assert (agent.version, agent.created_at, agent.updated_at) == (1, AT, AT)
    assert [c.name for c in agent.capabilities.all()] == ["echo"]
    action, subject, detail = events()[0]
    assert (action, subject) == ("agents.agent.created", public_id("agt", made.id))
    assert detail["new"] == {
        "name": "Echo desk",
        "slug": "echo-desk",
        "purpose": "Repeats.",
        "project": "default",
        "accountable": owner.member_label,
        "status": "active",
        "runtime": "builtin",
        "config": {"skill": "echo"},
        "timeout_seconds": 60,
        "capabilities": ["echo"],
        "manifest_digest": agent.manifest.digest,
    }
    assert len(events()) == 1


def test_a_manifest_says_what_the_agent_is_and_its_digest_seals_it(owner: Any) -> None:
    agent = make_desk(
        owner,
        capabilities=[
            {"name": "zeta", "description": "Last.", "price_micros": 7, "auth": "agent"},
            {"name": "Alpha", "annotations": {"read_only": True}},
        ],
    )
    manifest = selectors.get_manifest(agent.id, 1)
    assert manifest.document == {
        "id": public_id("agt", agent.id),
        "agent": "order-desk",
        "name": "Order desk",
        "purpose": "",
        "version": 1,
        "runtime": {"kind": "http", "config": {"url": URL}},
        "timeout_seconds": 60,
        "capabilities": [
            {
                "name": "Alpha",
                "description": "",
                "input_schema": {"type": "object"},
                "output_schema": {"type": "object"},
                "annotations": {
                    "read_only": True,
                    "destructive": False,
                    "idempotent": False,
                    "open_world": True,
                },
                "auth": "any",
                "price_micros": 0,
            },
            {
                "name": "zeta",
                "description": "Last.",
                "input_schema": {"type": "object"},
                "output_schema": {"type": "object"},
                "annotations": {
                    "read_only": False,
                    "destructive": True,
                    "idempotent": False,
                    "open_world": True,
                },
                "auth": "agent",
                "price_micros": 7,
            },
        ],
    }
    assert manifest.digest == hashlib.sha256(dumps(manifest.document)).hexdigest()
    assert agent.manifest == manifest


def test_no_manifest_and_no_event_holds_the_secret(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    secret = agents.find_signing_secret(agent)
    assert secret is not None
    changed = agents.rotate_signing_secret(agent_id=agent.id, actor=owner.actor, at=LATER)
    told = str([m.document for m in Manifest.objects.all()]) + str(events())
    assert secret.removeprefix("whsec_") not in told
    assert changed.removeprefix("whsec_") not in told
    assert URL in told  # the control: what may be told is there


def test_names_of_fields_that_sound_like_secrets_are_no_trouble(owner: Any, events: Any) -> None:
    """A customer's schema may speak of tokens and passwords; the audit log refuses such names."""
    schema = {"type": "object", "properties": {"token": {"type": "string"}, "password": {}}}
    agent = make_desk(owner, capabilities=[{"name": "sign_in", "input_schema": schema}])
    assert selectors.get_capability(selectors.get_agent(agent.slug), "sign_in").input_schema == (
        schema
    )
    assert [action for action, _, _ in events()] == ["agents.agent.created"]


def test_an_http_agent_has_a_secret_and_another_has_none(owner: Any) -> None:
    desk, echo = make_desk(owner), make_agent(owner)
    secret = agents.find_signing_secret(desk)
    assert secret is not None
    assert secret.startswith("whsec_")
    assert get_secret_store().get(f"agents/{desk.id.hex}/signing") == secret.encode()
    assert agents.find_signing_secret(echo) is None


def test_an_http_agent_without_a_declaration_takes_anything(owner: Any) -> None:
    (capability,) = make_desk(owner).capabilities.all()
    assert (capability.name, capability.input_schema, capability.output_schema) == (
        "invoke",
        {"type": "object"},
        {"type": "object"},
    )


def test_a_name_that_is_taken_gets_the_next_slug(owner: Any) -> None:
    assert [make_agent(owner).slug for _ in range(3)] == ["echo", "echo-2", "echo-3"]


def test_a_slug_is_given_once_until_its_agent_retires(owner: Any, events: Any) -> None:
    first = make_agent(owner, slug="mine")
    before = (rows(), len(events()))
    with pytest.raises(AgentSlugInUse):
        make_desk(owner, slug="mine")
    assert (rows(), len(events())) == before

    agents.retire_agent(agent_id=first.id, actor=owner.actor, at=AT)
    second = make_agent(owner, slug="mine")
    assert selectors.get_agent("mine") == second
    assert selectors.get_agent(public_id("agt", first.id)) == first


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "n" * 81}, "name"),
        ({"slug": "No Slug"}, "slug"),
        ({"purpose": "p" * 501}, "purpose"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 601}, "timeout_seconds"),
        ({"status": "retired"}, "status"),
        ({"status": "suspended"}, "status"),
        ({"runtime": "magic"}, "runtime"),
        ({"config": {"skill": "nothing"}}, "config.skill"),
        ({"config": {"skill": "echo", "more": 1}}, "config.more"),
        ({"capabilities": [{"name": "own"}]}, "capabilities"),
        ({"accountable_id": UUID(int=7)}, "accountable"),
        ({"runtime": "http", "config": {}}, "config.url"),
        ({"runtime": "http", "config": {"url": "http://93.184.215.14/"}}, "config.url"),
        ({"runtime": "http", "config": {"url": "https://10.0.0.1/"}}, "config.url"),
    ],
)
def test_what_an_agent_may_not_be(owner: Any, fields: dict[str, Any], field: str) -> None:
    assert set(refusal(lambda: make_agent(owner, **fields))) == {field}
    assert make_agent(owner).version == 1  # the control


@pytest.mark.parametrize(
    ("capabilities", "field"),
    [
        ([{"name": "a"}, {"name": "a"}], "capabilities"),
        ([{"name": "a"}, {"name": "b c"}], "capabilities.1.name"),
        ([{"name": f"n{n}"} for n in range(101)], "capabilities"),
        ([{"name": "a", "input_schema": {"type": "text"}}], "capabilities.0.input_schema.type"),
        ([{"name": "a", "price_micros": -1}], "capabilities.0.price_micros"),
    ],
)
def test_what_may_not_be_declared(owner: Any, capabilities: Any, field: str) -> None:
    assert set(refusal(lambda: make_desk(owner, capabilities=capabilities))) == {field}


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


def test_a_project_with_an_agent_cannot_be_deleted(owner: Any) -> None:
    project = projects.create_project(name="Busy", actor=owner.actor, at=AT)
    make_agent(owner, project=project)
    with pytest.raises(ProjectInUse):
        projects.delete_project(project_id=project.id, actor=owner.actor, at=AT)
    free = projects.create_project(name="Free", actor=owner.actor, at=AT)
    projects.delete_project(project_id=free.id, actor=owner.actor, at=AT)


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
    label = Member.objects.get(id=other.member_id).label
    assert detail == {
        "old": {
            "name": "Order desk",
            "purpose": "",
            "timeout_seconds": 60,
            "config": {"url": URL},
            "project": "default",
            "accountable": owner.member_label,
        },
        "new": {
            "name": "Desk",
            "purpose": "Orders.",
            "timeout_seconds": 5,
            "config": {"url": f"{URL}/2"},
            "project": "p",
            "accountable": label,
        },
    }


def test_nothing_changed_is_no_version_no_manifest_and_no_event(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    before = (rows(), len(events()))
    change(agent, owner, name="Order desk", config={"url": URL}, status="active")
    assert Agent.objects.get(id=agent.id).version == 1
    assert (rows(), len(events())) == before


def test_only_what_the_manifest_says_makes_another_manifest(owner: Any) -> None:
    agent = make_agent(owner)
    project = projects.create_project(name="P", actor=owner.actor, at=AT)

    change(agent, owner, project=project)
    assert [m.version for m in selectors.list_manifests(agent.id)] == [1]
    change(agent, owner, purpose="Now with one.")
    change(agent, owner, purpose="")
    found = list(selectors.list_manifests(agent.id))
    assert [m.version for m in found] == [3, 2, 1]
    assert [m.document["version"] for m in found] == [3, 2, 1]
    # The same again later is a version of its own: a history, no set.
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
    """The check may look a name up, which can take seconds; invocations wait for the row."""
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


def test_the_list_reads_name_slug_status_project_and_runtime(owner: Any) -> None:
    project = projects.create_project(name="P", actor=owner.actor, at=AT)
    echo = make_agent(owner, name="Alpha", at=AT)
    desk = make_desk(owner, slug="zeta", project=project, status="draft", at=LATER)
    gone = make_agent(owner, name="Gone")
    agents.retire_agent(agent_id=gone.id, actor=owner.actor, at=AT)

    assert list(selectors.list_agents()) == [desk, echo]
    assert list(selectors.list_agents(q="ALPH")) == [echo]
    assert list(selectors.list_agents(q="zet")) == [desk]
    assert list(selectors.list_agents(status="draft")) == [desk]
    assert list(selectors.list_agents(status="retired")) == [gone]
    assert set(selectors.list_agents(status="all")) == {echo, desk, gone}
    assert list(selectors.list_agents(project_id=project.id)) == [desk]
    assert list(selectors.list_agents(runtime="builtin")) == [echo]
