"""What an agent offers: added, changed, taken away; each time with a manifest and an event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.agents import selectors
from apps.agents.errors import (
    AgentStateConflict,
    CapabilityExists,
    CapabilityFixed,
    LastCapability,
)
from apps.agents.models import Agent, Capability
from apps.agents.services import agents, capabilities
from apps.common.errors import Invalid, NotFound
from apps.common.ids import public_id
from tests.agents.factories import make_agent, make_desk
from tests.orgs.conftest import AT

LATER = AT + timedelta(minutes=5)
SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


def add(agent: Agent, owner: Any, **fields: Any) -> Capability:
    return capabilities.add_capability(
        agent_id=agent.id, fields={"name": "lookup", **fields}, actor=owner.actor, at=LATER
    )


def change(agent: Agent, owner: Any, name: str, **fields: Any) -> Capability:
    return capabilities.update_capability(
        agent_id=agent.id, name=name, fields=fields, actor=owner.actor, at=LATER
    )


def remove(agent: Agent, owner: Any, name: str) -> None:
    capabilities.remove_capability(agent_id=agent.id, name=name, actor=owner.actor, at=LATER)


def frozen(agent: Agent) -> dict[str, Any]:
    """The present manifest's capabilities by name."""
    document = selectors.list_manifests(agent.id)[0].document
    return {tool["name"]: tool for tool in document["capabilities"]}


def state(agent: Agent) -> Any:
    rows = Capability.objects.filter(agent=agent).order_by("name")
    return Agent.objects.get(id=agent.id).version, frozen(agent), list(rows.values())


def test_a_capability_is_added_frozen_and_recorded(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    made = add(
        agent,
        owner,
        description="Finds an order.",
        input_schema=SCHEMA,
        annotations={"read_only": True, "open_world": False},
        auth="agent",
        price_micros=4200,
    )

    found = Capability.objects.get(id=made.id)
    assert (found.description, found.input_schema, found.output_schema) == (
        "Finds an order.",
        SCHEMA,
        {"type": "object"},
    )
    assert (found.read_only, found.destructive, found.idempotent, found.open_world) == (
        True,
        False,
        False,
        False,
    )
    assert (found.auth, found.price_micros) == ("agent", 4200)
    assert sorted(frozen(agent)) == ["invoke", "lookup"]
    assert frozen(agent)["lookup"]["input_schema"] == SCHEMA
    row = Agent.objects.get(id=agent.id)
    assert (row.version, row.updated_at, row.manifest.version) == (2, LATER, 2)
    action, subject, detail = events()[-1]
    assert (action, subject) == ("agents.agent.capability_added", public_id("agt", agent.id))
    assert detail["new"]["capability"]["name"] == "lookup"
    assert set(detail["new"]["capability"]) == {
        "name",
        "description",
        "annotations",
        "auth",
        "price_micros",
        "input_schema_digest",
        "output_schema_digest",
    }


def test_a_capability_is_changed_frozen_and_recorded(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    change(agent, owner, "invoke", price_micros=5, annotations={"destructive": False})

    assert frozen(agent)["invoke"]["price_micros"] == 5
    assert events()[-1] == (
        "agents.agent.capability_changed",
        public_id("agt", agent.id),
        {
            "old": {
                "capability": "invoke",
                "price_micros": 0,
                "annotations": {
                    "read_only": False,
                    "destructive": True,
                    "idempotent": False,
                    "open_world": True,
                },
            },
            "new": {
                "capability": "invoke",
                "price_micros": 5,
                "annotations": {
                    "read_only": False,
                    "destructive": False,
                    "idempotent": False,
                    "open_world": True,
                },
            },
        },
    )


def test_another_schema_is_recorded_by_its_digest(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    change(agent, owner, "invoke", input_schema=SCHEMA)
    assert set(events()[-1][2]["new"]) == {"capability", "input_schema_digest"}
    assert frozen(agent)["invoke"]["input_schema"] == SCHEMA


def test_nothing_changed_is_no_version_and_no_event(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    before, recorded = state(agent), len(events())
    change(agent, owner, "invoke", price_micros=0, input_schema={"type": "object"})
    assert (state(agent), len(events())) == (before, recorded)


def test_a_capability_is_taken_away_but_never_the_last(owner: Any, events: Any) -> None:
    agent = make_desk(owner, capabilities=[{"name": "one"}, {"name": "two"}])
    remove(agent, owner, "one")
    assert sorted(frozen(agent)) == ["two"]
    assert events()[-1][0] == "agents.agent.capability_removed"
    assert events()[-1][2]["old"]["capability"]["name"] == "one"

    before, recorded = state(agent), len(events())
    with pytest.raises(LastCapability):
        remove(agent, owner, "two")
    assert (state(agent), len(events())) == (before, recorded)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "n" * 65}, "name"),
        ({"description": "d" * 1001}, "description"),
        ({"input_schema": []}, "input_schema"),
        ({"input_schema": {"type": "array"}}, "input_schema.type"),
        ({"output_schema": {"type": "object", "properties": 5}}, "output_schema"),
        ({"output_schema": {"type": "object", "const": 2**60}}, "output_schema"),
        ({"output_schema": {"type": "object", "const": 1e16}}, "output_schema"),
        ({"input_schema": {"type": "object", "default": {"a": [-1e300]}}}, "input_schema"),
        ({"annotations": {"read_only": True, "destructive": True}}, "annotations.destructive"),
        ({"auth": "nobody"}, "auth"),
        ({"price_micros": -1}, "price_micros"),
        ({"price_micros": 10**12 + 1}, "price_micros"),
    ],
)
def test_what_a_capability_may_not_be(owner: Any, fields: dict[str, Any], field: str) -> None:
    agent = make_desk(owner)
    before = state(agent)
    with pytest.raises(Invalid) as caught:
        add(agent, owner, **fields)
    assert [error["field"] for error in caught.value.extra["errors"]] == [field]
    if "name" not in fields:
        with pytest.raises(Invalid):
            change(agent, owner, "invoke", **fields)
    assert state(agent) == before
    assert add(agent, owner).name == "lookup"  # the control


def test_a_schema_holds_numbers_as_far_as_they_are_exact(owner: Any) -> None:
    agent = make_desk(owner)
    schema = {"type": "object", "default": {"a": [1e15, -0.5, 1e-7, 2**53 - 1]}}
    add(agent, owner, input_schema=schema)
    assert frozen(agent)["lookup"]["input_schema"] == schema


def test_what_only_reads_and_what_destroys_exclude_each_other_in_changes_too(owner: Any) -> None:
    agent = make_desk(owner)
    assert change(agent, owner, "invoke", annotations={"read_only": True}).destructive is False
    before = state(agent)
    with pytest.raises(Invalid):
        change(agent, owner, "invoke", annotations={"destructive": True})
    assert state(agent) == before
    both = {"read_only": False, "destructive": True}
    assert change(agent, owner, "invoke", annotations=both).destructive is True


def test_a_name_is_given_once(owner: Any) -> None:
    agent = make_desk(owner)
    before = state(agent)
    with pytest.raises(CapabilityExists):
        add(agent, owner, name="invoke")
    assert state(agent) == before
    add(make_desk(owner), owner, name="lookup")  # another agent's names are its own


def test_there_is_a_most(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "MOST", 2)
    agent = make_desk(owner)
    add(agent, owner, name="two")
    before = state(agent)
    with pytest.raises(Invalid):
        add(agent, owner, name="three")
    assert state(agent) == before


def test_what_a_runtime_fixes_its_owner_cannot_change(owner: Any) -> None:
    agent = make_agent(owner)
    before = state(agent)
    for call in (
        lambda: add(agent, owner),
        lambda: remove(agent, owner, "echo"),
        lambda: change(agent, owner, "echo", input_schema=SCHEMA),
        lambda: change(agent, owner, "echo", output_schema=SCHEMA),
        lambda: change(agent, owner, "echo", annotations={"idempotent": False}),
    ):
        with pytest.raises(CapabilityFixed):
            call()
    assert state(agent) == before

    changed = change(agent, owner, "echo", description="Ours.", auth="person", price_micros=3)
    assert (changed.description, changed.auth, changed.price_micros) == ("Ours.", "person", 3)
    assert frozen(agent)["echo"]["price_micros"] == 3


def test_what_is_not_offered_is_not_found(owner: Any) -> None:
    agent = make_desk(owner)
    for call in (
        lambda: change(agent, owner, "nothing", price_micros=1),
        lambda: remove(agent, owner, "nothing"),
        lambda: selectors.get_capability(selectors.get_agent(agent.slug), "nothing"),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_retired_agent_offers_nothing_more(owner: Any) -> None:
    agent = make_desk(owner)
    agents.retire_agent(agent_id=agent.id, actor=owner.actor, at=AT)
    with pytest.raises(AgentStateConflict):
        add(agent, owner)
    assert not Capability.objects.filter(agent=agent).exists()
