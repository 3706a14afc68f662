"""Keys that act as an agent: who may make one, what it may, and how it ends."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.agents.errors import AgentStateConflict
from apps.agents.models import Agent
from apps.agents.services import agents
from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.models import ApiKey
from apps.orgs.permissions import NOT_FOR_AGENTS, codes_of
from apps.orgs.services import keys
from apps.orgs.tokens import hash_of
from tests.agents.factories import errors, make_agent, make_desk
from tests.orgs.conftest import AT, Api, problem


@pytest.fixture
def echo(owner: Any) -> Agent:
    return make_agent(owner)


def principal(token: str) -> Any:
    """Who the key speaks for; None if it opens nothing."""
    found = selectors.find_key_principal(key_hash=hash_of(token), at=AT)
    return found and found[0]


def test_a_key_of_an_agent_acts_as_the_agent(echo: Agent, owner: Any, events: Any) -> None:
    made = keys.create_key(name="Outside", agent="echo", by=owner, at=AT)

    who, agent_id = principal(made.token), public_id("agt", echo.id)
    assert who.actor.as_json() == {"type": "agent", "id": agent_id, "label": "echo"}
    assert (who.agent_id, who.member_id, who.role) == (echo.id, owner.member_id, "owner")
    assert who.permissions == codes_of("owner") - NOT_FOR_AGENTS
    ((action, _, detail),) = events()
    assert (action, detail["new"]["agent"]) == ("orgs.api_key.created", "echo")
    own = keys.create_key(name="Own", by=owner, at=AT)
    assert principal(own.token).permissions == codes_of("owner")
    assert "agent" not in events()[-1][2]["new"]


def test_nothing_that_would_lift_its_limits_is_an_agents(
    echo: Agent, somebody: Any, owner: Any
) -> None:
    viewing = ["agents.view", "agents.invoke"]
    made = keys.create_key(name="K", agent="echo", scopes=viewing, by=owner, at=AT)
    assert principal(made.token).permissions == set(viewing)
    member = keys.create_key(name="K", agent="echo", by=somebody("member"), at=AT)
    assert principal(member.token).permissions == codes_of("member") - NOT_FOR_AGENTS
    before = ApiKey.objects.count()
    for code in sorted(NOT_FOR_AGENTS):
        with pytest.raises(Invalid):
            keys.create_key(name="K", agent="echo", scopes=[code], by=owner, at=AT)
    assert ApiKey.objects.count() == before
    assert keys.create_key(name="K", scopes=["grants.manage"], by=owner, at=AT)


def test_who_may_not_edit_agents_makes_no_key_of_one(
    echo: Agent, somebody: Any, owner: Any
) -> None:
    narrow = keys.create_key(name="N", scopes=["keys.own", "agents.view"], by=owner, at=AT)
    before = ApiKey.objects.count()
    for by in (somebody("viewer"), principal(narrow.token)):
        with pytest.raises(PermissionDenied) as refused:
            keys.create_key(name="K", agent="echo", scopes=["agents.view"], by=by, at=AT)
        assert refused.value.extra["permission"] == "agents.edit"
    with pytest.raises(NotFound):
        keys.create_key(name="K", agent="nobody", by=owner, at=AT)
    agents.retire_agent(agent_id=echo.id, actor=owner.actor, at=AT)
    with pytest.raises(AgentStateConflict):
        keys.create_key(name="K", agent=public_id("agt", echo.id), by=owner, at=AT)
    assert ApiKey.objects.count() == before


def test_a_key_works_while_its_agent_is_active(echo: Agent, owner: Any) -> None:
    token = keys.create_key(name="K", agent="echo", by=owner, at=AT).token
    by = {"agent_id": echo.id, "actor": owner.actor, "at": AT}
    assert principal(token)
    agents.suspend_agent(**by)
    assert principal(token) is None
    assert problem(Api(token).get("/me")) == (401, "unauthenticated")
    agents.activate_agent(**by)
    assert Api(token).get("/me").json()["principal"]["type"] == "agent"
    agents.kill_agent(**by)
    assert principal(token) is None


def test_a_retired_agents_keys_are_revoked(echo: Agent, owner: Any, events: Any) -> None:
    mine = keys.create_key(name="K", agent="echo", by=owner, at=AT)
    other = keys.create_key(name="Own", by=owner, at=AT)
    seen = len(events())

    agents.retire_agent(agent_id=echo.id, actor=owner.actor, at=AT)

    mine.key.refresh_from_db()
    other.key.refresh_from_db()
    assert (mine.key.revoked_at, other.key.revoked_at) == (AT, None)
    assert principal(mine.token) is None and principal(other.token)
    revoked, retired = events()[seen:]
    assert revoked[:2] == ("orgs.api_key.revoked", public_id("key", mine.key.id))
    assert (retired[0], retired[2]["new"]["revoked_keys"]) == ("agents.agent.retired", 1)


def test_a_key_of_an_agent_is_replaced_by_one_of_the_same(
    echo: Agent, owner: Any, somebody: Any
) -> None:
    from apps.orgs.services.members import change_member_role

    maker = somebody("member")
    old = keys.create_key(name="K", agent="echo", scopes=["agents.view"], by=maker, at=AT)
    new = keys.rotate_key(key_id=old.key.id, by=maker, at=AT)
    assert principal(new.token).agent_id == principal(old.token).agent_id == echo.id

    change_member_role(member_id=maker.member_id, role="viewer", by=owner, at=AT)
    demoted = selectors.find_member_principal(user_id=user_id_of(maker))
    with pytest.raises(PermissionDenied):
        keys.rotate_key(key_id=new.key.id, by=demoted, at=AT)  # type: ignore[arg-type]
    assert ApiKey.objects.count() == 2


def user_id_of(who: Any) -> Any:
    from apps.orgs.models import Member

    return Member.objects.get(id=who.member_id).user_id


def test_a_key_goes_with_the_member_who_made_it(echo: Agent, owner: Any, somebody: Any) -> None:
    from apps.orgs.services.members import remove_member

    maker = somebody("member")
    token = keys.create_key(name="K", agent="echo", by=maker, at=AT).token
    assert principal(token)
    remove_member(member_id=maker.member_id, by=owner, at=AT)
    assert principal(token) is None


def test_a_key_cannot_point_at_an_agent_that_is_not_there(echo: Agent, owner: Any) -> None:
    key = keys.create_key(name="K", agent="echo", by=owner, at=AT).key
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(id=key.id).update(agent_id=key.id)
        connection.check_constraints()
    assert ApiKey.objects.get(id=key.id).agent_id == echo.id


# The API


def test_keys_of_an_agent_over_the_api(api: Api, echo: Agent, owner: Any, api_as: Any) -> None:
    body = {"name": "Outside", "scopes": ["agents.invoke"]}
    made = api.post("/agents/echo/keys", body)
    same = api.post("/keys", {**body, "agent": public_id("agt", echo.id)})
    own = api.post("/keys", {"name": "Own", "agent": None})
    assert [made.status_code, same.status_code, own.status_code] == [201] * 3
    assert [each.json()["agent"] for each in (made, same, own)] == ["echo", "echo", None]

    listed = api.get("/agents/echo/keys").json()
    ids = [each.json()["id"] for each in (same, made)]
    assert ([key["id"] for key in listed["results"]], listed["next"]) == (ids, None)
    kept = {name: value for name, value in made.json().items() if name != "token"}
    assert listed["results"][1] == kept == api.get(f"/keys/{ids[1]}").json()
    assert {key["agent"] for key in api.get("/keys").json()["results"]} == {"echo", None}

    me = Api(made.json()["token"]).get("/me").json()
    assert me["principal"] == {
        "type": "agent",
        "id": public_id("agt", echo.id),
        "label": "echo",
    }
    assert me["permissions"] == ["agents.invoke"]
    assert api_as("member").get("/agents/echo/keys").json()["results"] == []
    assert len(api_as("admin").get("/agents/echo/keys").json()["results"]) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "K", "agent": "nobody"}, "agent"),
        ({"name": "K", "agent": "agt_" + "0" * 32}, "agent"),
        ({"name": "K", "agent": 5}, "agent"),
        ({"name": "K", "agent": "echo", "scopes": ["keys.own"]}, "scopes"),
    ],
)
def test_a_key_of_an_agent_that_cannot_be(api: Api, echo: Agent, body: Any, field: str) -> None:
    before = ApiKey.objects.count()
    assert set(errors(api.post("/keys", body))) == {field}
    assert ApiKey.objects.count() == before


def test_keys_of_agents_are_refused_where_they_must_be(
    api: Api, api_as: Any, echo: Agent, owner: Any
) -> None:
    viewer = api_as("viewer")
    before = ApiKey.objects.count()
    for path, body in (
        ("/keys", {"name": "K", "agent": "echo"}),
        ("/agents/echo/keys", {"name": "K"}),
    ):
        refused = viewer.post(path, body)
        assert problem(refused) == (403, "permission_denied")
        assert refused.json()["permission"] == "agents.edit"
    assert problem(api.post("/agents/nobody/keys", {"name": "K"})) == (404, "not_found")
    assert problem(api.get("/agents/nobody/keys")) == (404, "not_found")
    assert set(errors(api.post("/agents/echo/keys", {"name": "K", "agent": "x"}))) == {"agent"}
    agents.retire_agent(agent_id=echo.id, actor=owner.actor, at=timezone.now())
    gone = f"/agents/{public_id('agt', echo.id)}/keys"
    assert problem(api.post(gone, {"name": "K"})) == (409, "agent_state")
    assert ApiKey.objects.count() == before


def test_an_agent_has_no_keys_and_grants_to_give(api: Api, echo: Agent) -> None:
    own = Api(api.post("/agents/echo/keys", {"name": "K"}).json()["token"])
    before = ApiKey.objects.count()
    assert own.get("/agents").status_code == 200
    for path, body in (
        ("/keys", {"name": "More"}),
        ("/agents/echo/keys", {"name": "More"}),
        ("/agents/echo/grants", {"caller": "echo", "tools": ["*"]}),
        ("/invitations", {"email": "n@x.example", "role": "owner"}),
    ):
        assert problem(own.post(path, body)) == (403, "permission_denied")
    assert ApiKey.objects.count() == before


def test_an_agent_changes_nothing_that_policies_judge_it_by(
    api: Api, echo: Agent, owner: Any
) -> None:
    """What its tools do, which agent is active, and how its project is tagged."""
    make_desk(owner, slug="desk")
    other = make_agent(owner, name="Other")
    agents.suspend_agent(agent_id=other.id, actor=owner.actor, at=AT)
    own = Api(api.post("/agents/echo/keys", {"name": "K"}).json()["token"])
    tame = {"annotations": {"read_only": True, "destructive": False, "open_world": False}}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/agents/desk/capabilities", {"name": "refund"}),
        ("PATCH", "/agents/desk/capabilities/refund", tame),
        ("PATCH", "/agents/echo", {"name": "Changed"}),
        ("POST", "/agents/other/activate", None),
        ("DELETE", "/agents/other", None),
        ("PATCH", "/projects/default", {"tags": []}),
        ("POST", "/projects", {"name": "Untagged"}),
    ]

    def state() -> Any:
        paths = ("/agents/desk", "/agents/echo", "/agents/other", "/projects")
        return [api.get(path).json() for path in paths]

    before = state()
    for method, path, body in calls:
        assert problem(own(method, path, body)) == (403, "permission_denied"), path
    assert state() == before
    assert {api(method, path, body).status_code for method, path, body in calls} <= {200, 201, 204}
    assert state() != before


# The command


def command(org: Any, **options: Any) -> str:
    from apps.tenants import keys as org_keys

    out = io.StringIO()
    with org_keys.holding():
        call_command("apikey", org=org.slug, user="owner@acme.example", stdout=out, **options)
    return out.getvalue().strip()


def test_the_command_prints_a_key_of_an_agent(org: Any, echo: Agent) -> None:
    who = principal_now(command(org, agent="echo"))
    assert (who.agent_id, who.role) == (echo.id, "owner")
    weaker = principal_now(command(org, agent="echo", role="viewer"))
    assert weaker.permissions == codes_of("viewer") - NOT_FOR_AGENTS
    scoped = principal_now(command(org, agent="echo", scopes="agents.invoke"))
    assert scoped.permissions == {"agents.invoke"}
    assert principal_now(command(org)).agent_id is None
    before = ApiKey.objects.count()
    with pytest.raises(CommandError, match="no such agent"):
        command(org, agent="nobody")
    assert ApiKey.objects.count() == before


def principal_now(token: str) -> Any:
    at = timezone.now() + timedelta(seconds=1)
    found = selectors.find_key_principal(key_hash=hash_of(token), at=at)
    assert found is not None
    return found[0]
