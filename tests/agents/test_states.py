"""An agent's life: draft, active, suspended, retired; and the kill switch."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from apps.agents import selectors
from apps.agents.errors import AgentStateConflict, NotSigned
from apps.agents.models import Agent, Capability, Grant, Manifest
from apps.agents.services import agents, kill_switch
from apps.common.errors import NotFound
from apps.common.fsm import transition_table
from apps.common.ids import public_id
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from apps.trust.errors import SecretNotFound
from apps.trust.secrets import get_secret_store
from tests.agents.factories import let_call, make_agent, make_desk
from tests.orgs.conftest import AT, owner_of

LATER = AT + timedelta(minutes=5)
NO = None

# (state, verb): the state it leads to
TABLE = {
    ("draft", "activate"): "active",
    ("draft", "suspend"): NO,
    ("draft", "retire"): "retired",
    ("active", "activate"): NO,
    ("active", "suspend"): "suspended",
    ("active", "retire"): "retired",
    ("suspended", "activate"): "active",
    ("suspended", "suspend"): NO,
    ("suspended", "retire"): "retired",
    ("retired", "activate"): NO,
    ("retired", "suspend"): NO,
    ("retired", "retire"): NO,
}
VERBS: dict[str, Any] = {
    "activate": agents.activate_agent,
    "suspend": agents.suspend_agent,
    "retire": agents.retire_agent,
}


@pytest.fixture
def in_state(owner: Any) -> Any:
    """Makes an agent and brings it into a state by the services."""

    def make(state: str, **fields: Any) -> Agent:
        who = {"actor": owner.actor, "at": AT}
        agent = make_agent(owner, status="draft" if state == "draft" else "active", **fields)
        if state == "suspended":
            agents.suspend_agent(agent_id=agent.id, **who)
        if state == "retired":
            agents.retire_agent(agent_id=agent.id, **who)
        return Agent.objects.get(id=agent.id)

    return make


def queue(owner: Any, agent: Agent) -> Run:
    """A run that waits for a worker."""
    ask = Ask(agent=agent.slug, input={"text": "hello"}, mode="async")
    return Run.objects.get(id=invoke(ask, caller=owner, at=AT).run.id)


def test_the_machine_has_these_arrows_and_no_other() -> None:
    assert transition_table(Agent) == TABLE


@pytest.mark.parametrize(("state", "verb"), TABLE)
def test_the_services_go_the_same_ways(
    in_state: Any, owner: Any, events: Any, state: str, verb: str
) -> None:
    agent = in_state(state)
    before, recorded = (agent.status, agent.version), len(events())
    target = TABLE[state, verb]

    def move() -> None:
        VERBS[verb](agent_id=agent.id, actor=owner.actor, at=LATER)

    if target is None:
        with pytest.raises(AgentStateConflict):
            move()
        found = Agent.objects.get(id=agent.id)
        assert ((found.status, found.version), len(events())) == (before, recorded)
        return
    move()
    found = Agent.objects.get(id=agent.id)
    assert (found.status, found.version, found.updated_at) == (target, before[1] + 1, LATER)
    past = {"activate": "activated", "suspend": "suspended", "retire": "retired"}[verb]
    assert [(action, subject) for action, subject, _ in events()[recorded:]] == [
        (f"agents.agent.{past}", public_id("agt", agent.id))
    ]


@pytest.mark.parametrize(
    ("state", "wanted", "target"),
    [
        ("draft", "active", "active"),
        ("active", "suspended", "suspended"),
        ("suspended", "active", "active"),
        ("draft", "draft", "draft"),
        ("active", "draft", NO),
        ("draft", "suspended", NO),
    ],
)
def test_a_change_may_name_the_status(
    in_state: Any, owner: Any, state: str, wanted: str, target: str | None
) -> None:
    agent = in_state(state)

    def move() -> Agent:
        fields = {"status": wanted, "purpose": "Changed."}
        return agents.update_agent(agent_id=agent.id, fields=fields, actor=owner.actor, at=LATER)

    if target is None:
        with pytest.raises(AgentStateConflict), transaction.atomic():
            move()
        found = Agent.objects.get(id=agent.id)
        assert (found.status, found.purpose, found.version) == (state, "", agent.version)
        return
    move()
    found = Agent.objects.get(id=agent.id)
    assert (found.status, found.purpose) == (target, "Changed.")


def test_a_note_says_why_and_goes_with_the_suspension(
    in_state: Any, owner: Any, events: Any
) -> None:
    agent = in_state("active")
    agents.suspend_agent(agent_id=agent.id, note="  Broken. ", actor=owner.actor, at=AT)
    assert Agent.objects.get(id=agent.id).status_note == "Broken."
    assert events()[-1][2] == {"new": {"note": "Broken."}}
    agents.activate_agent(agent_id=agent.id, actor=owner.actor, at=AT)
    assert Agent.objects.get(id=agent.id).status_note == ""


def test_no_status_makes_another_manifest(in_state: Any, owner: Any) -> None:
    agent, said = in_state("draft"), {"actor": owner.actor, "at": AT}
    agents.activate_agent(agent_id=agent.id, **said)
    agents.suspend_agent(agent_id=agent.id, **said)
    agents.activate_agent(agent_id=agent.id, **said)
    agents.kill_agent(agent_id=agent.id, **said)
    agents.retire_agent(agent_id=agent.id, **said)
    assert [m.version for m in selectors.list_manifests(agent.id)] == [1]
    assert Agent.objects.get(id=agent.id).version == 6


@pytest.mark.parametrize("state", ["active", "suspended"])
def test_the_kill_switch_suspends_and_ends_what_is_under_way(
    in_state: Any, owner: Any, events: Any, state: str
) -> None:
    agent, other = in_state("active"), make_agent(owner, name="Other")
    mine, theirs = [queue(owner, agent) for _ in range(3)], queue(owner, other)
    if state == "suspended":
        agents.suspend_agent(agent_id=agent.id, note="Slow.", actor=owner.actor, at=AT)

    killed, stopped = agents.kill_agent(
        agent_id=agent.id, note="It answers nonsense.", actor=owner.actor, at=LATER
    )

    assert stopped == 3
    found = Agent.objects.get(id=agent.id)
    assert (found.status, found.status_note) == ("suspended", "It answers nonsense.")
    assert (killed.status, killed.version) == (found.status, found.version)
    ended = Run.objects.filter(id__in=[run.id for run in mine])
    assert set(ended.values_list("status", "reason")) == {("cancelled", "agent_stopped")}
    assert Run.objects.get(id=theirs.id).status == "queued"  # the control
    assert events()[-1] == (
        "agents.agent.killed",
        public_id("agt", agent.id),
        {"new": {"note": "It answers nonsense.", "stopped_runs": 3}},
    )


@pytest.mark.parametrize("state", ["draft", "retired"])
def test_what_never_works_has_no_kill_switch(
    in_state: Any, owner: Any, events: Any, state: str
) -> None:
    agent = in_state(state)
    before = len(events())
    with pytest.raises(AgentStateConflict):
        agents.kill_agent(agent_id=agent.id, actor=owner.actor, at=LATER)
    assert (Agent.objects.get(id=agent.id).status, len(events())) == (state, before)


def test_whoever_fails_to_stop_undoes_the_kill(
    in_state: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspending and stopping are one: neither stands without the other."""
    agent = in_state("active")
    run = queue(owner, agent)

    def fail(**_: Any) -> int:
        raise RuntimeError("no")

    monkeypatch.setattr(kill_switch, "_stoppers", [*kill_switch._stoppers, fail])
    with pytest.raises(RuntimeError), transaction.atomic():
        agents.kill_agent(agent_id=agent.id, actor=owner.actor, at=LATER)
    assert Agent.objects.get(id=agent.id).status == "active"
    assert Run.objects.get(id=run.id).status == "queued"


def test_every_stopper_is_asked_once_and_their_counts_add_up(
    in_state: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, asked = in_state("active"), []

    def one(**told: Any) -> int:
        asked.append(told)
        return 2

    def other(**told: Any) -> int:
        asked.append(told)
        return 3

    monkeypatch.setattr(kill_switch, "_stoppers", [])
    for stopper in (one, other, one):
        kill_switch.on_kill(stopper)
    _, stopped = agents.kill_agent(agent_id=agent.id, actor=owner.actor, at=LATER)
    told = {
        "agent_id": agent.id,
        "actor": owner.actor,
        "at": LATER,
        "reason": "agent_stopped",
    }
    assert (stopped, asked) == (5, [told, told])


def test_retiring_ends_runs_capabilities_grants_and_the_secret_and_keeps_the_rest(
    owner: Any, events: Any
) -> None:
    agent, other = make_desk(owner), make_agent(owner)
    third = make_agent(owner, name="Third")
    held, given = let_call(owner, agent, other), let_call(owner, other, agent)
    kept = let_call(owner, third, other)
    ask = Ask(agent=agent.slug, input={}, mode="async")
    run = invoke(ask, caller=owner, at=AT).run

    agents.retire_agent(agent_id=agent.id, actor=owner.actor, at=LATER)

    found = Agent.objects.get(id=agent.id)
    assert (found.status, found.manifest_id) == ("retired", agent.manifest_id)
    assert not Capability.objects.filter(agent=agent).exists()
    ended = Grant.objects.filter(id__in=[held.id, given.id])
    assert set(ended.values_list("active", "revoked_at")) == {(False, LATER)}
    assert Grant.objects.get(id=kept.id).active
    assert Run.objects.values_list("status", "reason").get(id=run.id) == (
        "cancelled",
        "agent_retired",
    )
    assert Manifest.objects.filter(agent=agent).count() == 1
    with pytest.raises(SecretNotFound):
        get_secret_store().get(f"agents/{agent.id.hex}/signing")
    with pytest.raises(NotFound):
        selectors.get_agent("order-desk")
    action, _, detail = events()[-1]
    assert action == "agents.agent.retired"
    assert detail["new"]["stopped_runs"] == 1
    assert detail["new"]["revoked_grants"] == sorted(
        public_id("gnt", grant.id) for grant in (held, given)
    )


def test_a_secret_is_replaced_at_once(owner: Any, events: Any) -> None:
    agent = make_desk(owner)
    first = agents.find_signing_secret(agent)
    second = agents.rotate_signing_secret(agent_id=agent.id, actor=owner.actor, at=LATER)
    assert second != first
    assert agents.find_signing_secret(agent) == second
    assert get_secret_store().versions(f"agents/{agent.id.hex}/signing") == [2]
    assert Agent.objects.get(id=agent.id).version == 1
    assert events()[-1][:2] == ("agents.agent.secret_rotated", public_id("agt", agent.id))

    before = len(events())
    with pytest.raises(NotSigned):
        agents.rotate_signing_secret(agent_id=make_agent(owner).id, actor=owner.actor, at=LATER)
    assert [action for action, _, _ in events()[before:]] == ["agents.agent.created"]


def test_an_admission_and_a_kill_wait_for_each_other(throwaway_org: Any) -> None:
    """An admission holds the agent's row (KEY SHARE); the kill switch comes after it or before."""
    org = throwaway_org()
    held, go_on = threading.Event(), threading.Event()

    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        agent = make_agent(owner)

        def admit() -> None:
            with keys.holding(org.schema, org.id), transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("select 1 from agents where id = %s for key share", [agent.id])
                held.set()
                go_on.wait(30)
            connection.close()

        thread = threading.Thread(target=admit)
        thread.start()
        assert held.wait(30)
        with pytest.raises(OperationalError, match="lock timeout"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("set local lock_timeout = '100ms'")
            agents.kill_agent(agent_id=agent.id, actor=owner.actor, at=AT)
        assert Agent.objects.get(id=agent.id).status == "active"
        go_on.set()
        thread.join(30)
        agents.kill_agent(agent_id=agent.id, actor=owner.actor, at=AT)
        assert Agent.objects.get(id=agent.id).status == "suspended"
