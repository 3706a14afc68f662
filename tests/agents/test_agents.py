"""Agents: registered, frozen into their first manifest, put on record, found."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from apps.agents import selectors
from apps.agents.errors import AgentSlugInUse
from apps.agents.models import Manifest
from apps.agents.services import agents
from apps.common.ids import public_id
from apps.orgs.errors import ProjectInUse
from apps.orgs.services import projects
from apps.trust.canonical import dumps
from apps.trust.secrets import get_secret_store
from tests.agents.factories import URL, make_agent, make_desk, refusal, rows
from tests.orgs.conftest import AT

LATER = AT + timedelta(minutes=5)


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
        "accountable": {"id": public_id("mem", owner.member_id), "name": owner.member_label},
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
        "project": "default",
        "accountable": public_id("mem", owner.member_id),
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


def test_a_project_with_an_agent_cannot_be_deleted(owner: Any) -> None:
    project = projects.create_project(name="Busy", actor=owner.actor, at=AT)
    make_agent(owner, project=project)
    with pytest.raises(ProjectInUse):
        projects.delete_project(project_id=project.id, actor=owner.actor, at=AT)
    free = projects.create_project(name="Free", actor=owner.actor, at=AT)
    projects.delete_project(project_id=free.id, actor=owner.actor, at=AT)


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
