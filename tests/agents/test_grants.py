"""Who may call whom: without a grant no agent calls another."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.agents import selectors
from apps.agents.directory import list_granted_tools
from apps.agents.errors import AgentStateConflict, GrantExists
from apps.agents.models import Agent, Grant
from apps.agents.services import agents, grants
from apps.agents.services.capabilities import add_capability, update_capability
from apps.common.errors import Conflict, Invalid, NotFound
from apps.common.ids import public_id, uuid7
from apps.tenants import keys
from tests.agents.factories import let_call, make_agent, make_desk
from tests.orgs.conftest import AT, owner_of

LATER = AT + timedelta(minutes=5)


@pytest.fixture
def desk(owner: Any) -> Agent:
    """An agent with two tools."""
    return make_desk(owner, capabilities=[{"name": "read"}, {"name": "write"}])


@pytest.fixture
def caller(owner: Any) -> Agent:
    return make_agent(owner, name="Caller")


def change(grant: Grant, owner: Any, **fields: Any) -> Grant:
    return grants.update_grant(grant_id=grant.id, fields=fields, actor=owner.actor, at=LATER)


def revoke(grant: Grant, owner: Any) -> Grant:
    return grants.revoke_grant(grant_id=grant.id, actor=owner.actor, at=LATER)


def tools_of(caller: Agent, at: Any = LATER) -> list[tuple[str, str]]:
    return [(t.agent, t.spec.name) for t in list_granted_tools(caller_id=caller.id, at=at)]


def test_a_grant_is_given_and_recorded(owner: Any, desk: Agent, caller: Agent, events: Any) -> None:
    until = AT + timedelta(days=1)
    made = let_call(owner, caller, desk, "write", "read", "read", expires_at=until)

    found = Grant.objects.get(id=made.id)
    assert (found.caller, found.callee, found.tools) == (caller, desk, ["read", "write"])
    assert (found.active, found.created_at, found.created_by_id) == (True, AT, owner.member_id)
    assert (found.expires_at, found.revoked_at) == (until, None)
    assert events()[-1] == (
        "agents.grant.created",
        public_id("gnt", made.id),
        {
            "new": {
                "caller": "caller",
                "callee": "order-desk",
                "tools": ["read", "write"],
                "expires_at": until.isoformat(),
            }
        },
    )
    assert tools_of(caller) == [("order-desk", "read"), ("order-desk", "write")]


def test_a_grant_for_all_covers_what_comes_later(owner: Any, desk: Agent, caller: Agent) -> None:
    let_call(owner, caller, desk, "read", "*")
    assert Grant.objects.get().tools == ["*"]
    add_capability(agent_id=desk.id, fields={"name": "later"}, actor=owner.actor, at=AT)
    assert [name for _, name in tools_of(caller)] == ["later", "read", "write"]


def test_a_grant_for_one_covers_one(owner: Any, desk: Agent, caller: Agent) -> None:
    let_call(owner, caller, desk, "read")
    assert tools_of(caller) == [("order-desk", "read")]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": ["nothing"]}, "tools"),
        ({"tools": ["read", "nothing"]}, "tools"),
        ({"expires_at": AT}, "expires_at"),
        ({"expires_at": AT - timedelta(seconds=1)}, "expires_at"),
    ],
)
def test_what_a_grant_may_not_be(
    owner: Any, desk: Agent, caller: Agent, events: Any, fields: dict[str, Any], field: str
) -> None:
    before = len(events())
    with pytest.raises(Invalid) as caught:
        let_call(owner, caller, desk, **fields)
    assert [error["field"] for error in caught.value.extra["errors"]] == [field]
    with pytest.raises(Invalid):
        grants.create_grant(
            callee_id=desk.id,
            caller_id=caller.id,
            tools=[],
            by_member_id=owner.member_id,
            actor=owner.actor,
            at=AT,
        )
    assert (Grant.objects.count(), len(events()), tools_of(caller)) == (0, before, [])


def test_nobody_is_granted_themselves_or_by_a_ghost(owner: Any, desk: Agent, caller: Agent) -> None:
    ghost = Agent(id=uuid7(), slug="ghost")
    with pytest.raises(Invalid):
        let_call(owner, desk, desk)
    with pytest.raises(Invalid):
        let_call(owner, ghost, desk)
    with pytest.raises(NotFound):
        let_call(owner, caller, ghost)
    agents.retire_agent(agent_id=caller.id, actor=owner.actor, at=AT)
    with pytest.raises(Invalid):
        let_call(owner, caller, desk)
    with pytest.raises(AgentStateConflict):
        let_call(owner, desk, caller)
    assert Grant.objects.count() == 0


def test_two_agents_have_one_grant_a_way(owner: Any, desk: Agent, caller: Agent) -> None:
    first = let_call(owner, caller, desk, "read")
    with pytest.raises(GrantExists):
        let_call(owner, caller, desk, "write")
    assert tools_of(caller) == [("order-desk", "read")]
    let_call(owner, desk, caller)  # the other way is another one
    revoke(first, owner)
    let_call(owner, caller, desk, "write")
    assert tools_of(caller) == [("order-desk", "write")]


def test_a_grant_that_has_run_out_gives_way_to_a_new_one(
    owner: Any, desk: Agent, caller: Agent, events: Any
) -> None:
    until = AT + timedelta(minutes=1)
    first = let_call(owner, caller, desk, "read", expires_at=until)
    with pytest.raises(GrantExists):
        let_call(owner, caller, desk, "write", at=until - timedelta(seconds=1))
    before = len(events())

    second = let_call(owner, caller, desk, "write", at=until)

    assert tools_of(caller) == [("order-desk", "write")]
    over = Grant.objects.get(id=first.id)
    assert (over.active, over.revoked_at, over.expires_at) == (False, until, until)
    assert [event[:2] for event in events()[before:]] == [
        ("agents.grant.revoked", public_id("gnt", first.id)),
        ("agents.grant.created", public_id("gnt", second.id)),
    ]


def test_both_agents_are_held_once_for_a_grant(owner: Any, desk: Agent, caller: Agent) -> None:
    with CaptureQueriesContext(connection) as queries:
        let_call(owner, caller, desk)
    held = [q["sql"] for q in queries if "FOR UPDATE" in q["sql"] and '"agents"' in q["sql"]]
    assert len(held) == 1
    assert desk.id.hex in held[0] and caller.id.hex in held[0]


def test_a_grant_is_changed_and_recorded(
    owner: Any, desk: Agent, caller: Agent, events: Any
) -> None:
    made = let_call(owner, caller, desk, "read")
    until = LATER + timedelta(days=1)
    change(made, owner, tools=["write"], expires_at=until)
    assert tools_of(caller) == [("order-desk", "write")]
    assert events()[-1] == (
        "agents.grant.updated",
        public_id("gnt", made.id),
        {
            "old": {"tools": ["read"], "expires_at": None},
            "new": {"tools": ["write"], "expires_at": until.isoformat()},
        },
    )

    before = len(events())
    change(made, owner, tools=["write"])
    assert len(events()) == before
    for fields in ({"tools": ["nothing"]}, {"tools": []}, {"expires_at": LATER}):
        with pytest.raises(Invalid):
            change(made, owner, **fields)
    assert change(made, owner, expires_at=None).expires_at is None
    assert Grant.objects.get(id=made.id).tools == ["write"]


def test_a_revoked_grant_ends_at_once_and_stays_on_record(
    owner: Any, desk: Agent, caller: Agent, events: Any
) -> None:
    made = let_call(owner, caller, desk)
    revoke(made, owner)
    found = Grant.objects.get(id=made.id)
    assert (found.active, found.revoked_at, tools_of(caller)) == (False, LATER, [])
    assert events()[-1][:2] == ("agents.grant.revoked", public_id("gnt", made.id))

    before = len(events())
    revoke(made, owner)
    with pytest.raises(Conflict):
        change(made, owner, tools=["read"])
    assert (len(events()), Grant.objects.get(id=made.id).revoked_at) == (before, LATER)
    for call in (revoke, change):
        with pytest.raises(NotFound):
            call(Grant(id=uuid7()), owner)


def test_only_what_can_be_called_now_is_granted(owner: Any, desk: Agent, caller: Agent) -> None:
    until = LATER + timedelta(hours=1)
    let_call(owner, caller, desk, expires_at=until)
    everything = [("order-desk", "read"), ("order-desk", "write")]
    assert tools_of(caller, until - timedelta(microseconds=1)) == everything
    assert tools_of(caller, until) == []
    assert tools_of(desk) == []

    update_capability(
        agent_id=desk.id, name="write", fields={"auth": "person"}, actor=owner.actor, at=AT
    )
    assert tools_of(caller) == [("order-desk", "read")]
    agents.suspend_agent(agent_id=desk.id, actor=owner.actor, at=AT)
    assert tools_of(caller) == []
    agents.activate_agent(agent_id=desk.id, actor=owner.actor, at=AT)
    assert tools_of(caller) == [("order-desk", "read")]


def test_granted_tools_cost_one_query_however_many(owner: Any, caller: Agent) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            tools_of(caller)
        return len(queries)

    before = count()
    for _ in range(4):
        let_call(owner, caller, make_desk(owner, capabilities=[{"name": "a"}, {"name": "b"}]))
    assert len(tools_of(caller)) == 8  # this process has read their manifests from here on
    assert (before, count()) == (1, 1)


def test_a_change_does_not_bring_back_what_is_revoked_meanwhile(throwaway_org: Any) -> None:
    """The caller retires, and its grant is revoked with it, while somebody changes the grant."""
    org = throwaway_org()
    held, go_on = threading.Event(), threading.Event()

    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        desk, caller = make_desk(owner), make_agent(owner)
        made = let_call(owner, caller, desk)

        def retire() -> None:
            with keys.holding(org.schema, org.id), transaction.atomic():
                agents.retire_agent(agent_id=caller.id, actor=owner.actor, at=AT)
                held.set()
                go_on.wait(30)
            connection.close()

        thread = threading.Thread(target=retire)
        thread.start()
        assert held.wait(30)
        # It waits for the row, so that it can only begin once the other has ended.
        threading.Timer(0.3, go_on.set).start()
        with pytest.raises(Conflict):
            change(made, owner, tools=["invoke"])
        thread.join(30)
        found = Grant.objects.get(id=made.id)
        assert (found.active, found.tools) == (False, ["*"])


def test_agents_with_grants_on_each_other_can_retire_together(throwaway_org: Any) -> None:
    """Each is made to wait for the other once it holds a first grant: the worst moment."""
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        pair = (make_agent(owner), make_agent(owner))
        let_call(owner, pair[0], pair[1])
        let_call(owner, pair[1], pair[0])
    met, problems = threading.Barrier(2), []

    def pause(execute: Any, sql: str, *rest: Any) -> Any:
        answer = execute(sql, *rest)
        if '"grants"' in sql and ("FOR UPDATE" in sql or sql.startswith("UPDATE")):
            with suppress(threading.BrokenBarrierError):
                met.wait(1)
        return answer

    def retire(agent: Agent) -> None:
        with keys.holding(org.schema, org.id):
            try:
                with connection.execute_wrapper(pause):
                    agents.retire_agent(agent_id=agent.id, actor=owner.actor, at=AT)
            except DatabaseError as error:
                problems.append(error)
            finally:
                connection.close()

    threads = [threading.Thread(target=retire, args=(agent,)) for agent in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    with keys.holding(org.schema, org.id):
        assert set(Grant.objects.values_list("active", flat=True)) == {False}
        assert set(Agent.objects.values_list("status", flat=True)) == {"retired"}


def test_the_selectors_tell_who_may_call_and_whom(owner: Any, desk: Agent, caller: Agent) -> None:
    made = let_call(owner, caller, desk)
    assert list(selectors.list_grants(desk.id)) == [made]
    assert list(selectors.list_held_grants(caller.id)) == [made]
    assert list(selectors.list_grants(caller.id)) == []
    assert selectors.get_grant(desk.id, public_id("gnt", made.id)) == made
    with pytest.raises(NotFound):
        selectors.get_grant(caller.id, public_id("gnt", made.id))
    revoke(made, owner)
    assert list(selectors.list_grants(desk.id)) == [made]
    assert list(selectors.list_held_grants(caller.id)) == []
