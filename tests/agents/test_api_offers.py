"""/v1 of what agents offer: capabilities, manifests and grants."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.models import Grant
from apps.common.ids import public_id
from tests.agents.factories import DESK, ECHO, errors, let_call, make_agent, make_desk
from tests.orgs.conftest import Api, problem


def test_capabilities_are_added_read_changed_and_removed(api: Api) -> None:
    first = api.post("/agents", DESK)
    made = api.post("/agents/order-desk/capabilities", {"name": "lookup", "price_micros": 7})
    assert (made.status_code, made.json()["price_micros"]) == (201, 7)
    path = "/agents/order-desk/capabilities/lookup"
    assert api.get(path).json() == made.json()
    changed = api.patch(path, {"description": "Finds.", "annotations": {"read_only": True}})
    assert changed.json()["description"] == "Finds."
    assert changed.json()["annotations"]["destructive"] is False
    agent = api.get("/agents/order-desk")
    assert agent["ETag"] != first["ETag"]
    assert agent.json()["manifest"]["version"] == 3
    listed = api.get("/agents/order-desk/capabilities").json()
    assert [row["name"] for row in listed["results"]] == ["invoke", "lookup"]
    page = api.get("/agents/order-desk/capabilities?limit=1").json()
    rest = api.get(f"/agents/order-desk/capabilities?limit=1&cursor={page['next']}").json()
    assert [row["name"] for row in (*page["results"], *rest["results"])] == ["invoke", "lookup"]

    assert problem(api.post("/agents/order-desk/capabilities", {"name": "lookup"})) == (
        409,
        "capability_exists",
    )
    assert set(errors(api.post("/agents/order-desk/capabilities", {}))) == {"name"}
    assert set(errors(api.patch(path, {"name": "other"}))) == {"name"}
    assert set(errors(api.patch(path, {"annotations": {"destructive": True}}))) == {
        "annotations.destructive"
    }
    assert set(errors(api.patch(path, {"input_schema": {"type": "object", "required": 1}}))) == {
        "input_schema"
    }
    assert api.delete(path).status_code == 204
    assert problem(api.get(path)) == (404, "not_found")
    assert problem(api.delete(path)) == (404, "not_found")
    assert problem(api.delete("/agents/order-desk/capabilities/invoke")) == (409, "last_capability")


def test_what_a_runtime_fixes_stays(api: Api) -> None:
    api.post("/agents", ECHO)
    path = "/agents/echo/capabilities"
    assert problem(api.post(path, {"name": "more"})) == (409, "capability_fixed")
    assert problem(api.delete(f"{path}/echo")) == (409, "capability_fixed")
    fixed = api.patch(f"{path}/echo", {"input_schema": {"type": "object"}})
    assert problem(fixed) == (409, "capability_fixed")
    priced = api.patch(f"{path}/echo", {"price_micros": 5, "auth": "person"})
    assert (priced.json()["price_micros"], priced.json()["auth"]) == (5, "person")


def test_manifests_are_read_by_version(api: Api) -> None:
    made = api.post("/agents", ECHO).json()
    api.patch("/agents/echo", {"purpose": "Repeats."})
    listed = api.get("/agents/echo/manifests").json()["results"]
    assert [row["version"] for row in listed] == [2, 1]
    first = api.get("/agents/echo/manifests/1").json()
    assert first == listed[1]
    assert set(first) == {"version", "digest", "manifest", "created_at"}
    assert first["digest"] == made["manifest"]["digest"]
    assert (first["manifest"]["agent"], first["manifest"]["purpose"]) == ("echo", "")
    page = api.get("/agents/echo/manifests?limit=1").json()
    rest = api.get(f"/agents/echo/manifests?limit=1&cursor={page['next']}").json()
    assert [row["version"] for row in rest["results"]] == [1]
    for version in ("3", "0", "-1", "x", "١", "9" * 30):
        assert problem(api.get(f"/agents/echo/manifests/{version}")) == (404, "not_found")


def test_a_grant_is_given_read_changed_and_revoked(api: Api, owner: Any) -> None:
    api.post("/agents", {**DESK, "capabilities": [{"name": "read"}, {"name": "write"}]})
    caller = api.post("/agents", ECHO).json()["id"]
    path = "/agents/order-desk/grants"
    made = api.post(path, {"caller": "echo", "tools": ["read"]})
    assert made.status_code == 201
    body = made.json()
    assert body["id"].startswith("gnt_")
    assert {k: v for k, v in body.items() if k not in {"id", "created_at"}} == {
        "caller": "echo",
        "callee": "order-desk",
        "tools": ["read"],
        "active": True,
        "created_by": {"id": public_id("mem", owner.member_id), "name": owner.member_label},
        "expires_at": None,
        "revoked_at": None,
    }
    one = f"{path}/{body['id']}"
    assert api.get(one).json() == body
    assert api.get(path).json()["results"] == [body]
    assert api.get("/agents/echo/grants").json()["results"] == []
    again = api.post(path, {"caller": caller, "tools": ["*"]})
    assert problem(again) == (409, "grant_exists")

    changed = api.patch(one, {"tools": ["*"], "expires_at": "2101-01-01T00:00:00Z"})
    assert (changed.json()["tools"], changed.json()["expires_at"]) == (
        ["*"],
        "2101-01-01T00:00:00Z",
    )
    assert api.patch(one, {"expires_at": None}).json()["expires_at"] is None
    assert api.delete(one).status_code == 204
    assert api.delete(one).status_code == 204
    gone = api.get(one).json()
    assert (gone["active"], gone["revoked_at"] is not None) == (False, True)
    assert problem(api.patch(one, {"tools": ["*"]})) == (409, "conflict")
    assert api.post(path, {"caller": caller, "tools": ["*"]}).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": ["*"]}, "caller"),
        ({"caller": "echo"}, "tools"),
        ({"caller": "echo", "tools": []}, "tools"),
        ({"caller": "echo", "tools": "*"}, "tools"),
        ({"caller": "echo", "tools": [5]}, "tools.0"),
        ({"caller": "echo", "tools": ["nothing"]}, "tools"),
        ({"caller": "nobody", "tools": ["*"]}, "caller"),
        ({"caller": "order-desk", "tools": ["*"]}, "caller"),
        ({"caller": "echo", "tools": ["*"], "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"caller": "echo", "tools": ["*"], "rate": 5}, "rate"),
    ],
)
def test_what_a_grant_may_not_be(api: Api, body: dict[str, Any], field: str) -> None:
    api.post("/agents", DESK)
    api.post("/agents", ECHO)
    assert set(errors(api.post("/agents/order-desk/grants", body))) == {field}
    assert Grant.objects.count() == 0


def test_a_grant_belongs_to_the_agent_in_its_path(api: Api, owner: Any) -> None:
    desk, echo = make_desk(owner), make_agent(owner)
    made = let_call(owner, echo, desk)
    ref = public_id("gnt", made.id)
    for call in (
        api.get(f"/agents/echo/grants/{ref}"),
        api.patch(f"/agents/echo/grants/{ref}", {"tools": ["*"]}),
        api.delete(f"/agents/echo/grants/{ref}"),
    ):
        assert problem(call) == (404, "not_found")
    assert api.get(f"/agents/order-desk/grants/{ref}").json()["active"] is True


def test_what_an_agent_holds_is_revoked_by_its_name(api: Api, owner: Any) -> None:
    desk, echo, other = make_desk(owner), make_agent(owner), make_agent(owner, name="Other")
    made, kept = let_call(owner, echo, desk), let_call(owner, other, desk)
    path = "/agents/order-desk/grants"
    for query in ("", "?caller=", "?caller=nobody", "?caller=echo&caller=other", "?who=echo"):
        assert problem(api.delete(f"{path}{query}")) == (422, "invalid")
    assert problem(api.delete("/agents/echo/grants?caller=other")) == (404, "not_found")
    assert Grant.objects.filter(active=True).count() == 2

    assert api.delete(f"{path}?caller=echo").status_code == 204
    assert api.delete(f"{path}?caller={public_id('agt', echo.id)}").status_code == 204

    assert not Grant.objects.get(id=made.id).active
    assert Grant.objects.get(id=kept.id).active


def queries_of(api: Api, path: str) -> int:
    """What an answer costs beyond finding out who asks; /me asks for the plan besides."""

    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status_code == 200
        return len(queries)

    return count(path) - (count("/me") - 1)


@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("/agents", 3),  # what they weigh, the rows, and what they offer
        ("/agents/order-desk/capabilities", 3),  # the agent, what it offers, and the rows
        ("/agents/order-desk/manifests", 4),  # the weight of the rows besides
        ("/agents/order-desk/grants", 3),
    ],
)
def test_a_list_costs_the_same_however_long_it_is(
    api: Api, owner: Any, path: str, cost: int
) -> None:
    desk = make_desk(owner)
    let_call(owner, make_agent(owner), desk)
    api.get("/me")
    before = queries_of(api, path)
    for number in range(4):
        api.post("/agents/order-desk/capabilities", {"name": f"more-{number}"})
        let_call(owner, make_agent(owner), desk)
    assert (before, queries_of(api, path)) == (cost, cost)
    assert len(api.get(path).json()["results"]) >= 5


def test_one_agent_costs_two_queries_whatever_it_offers(api: Api, owner: Any) -> None:
    make_desk(owner, capabilities=[{"name": f"n{n}"} for n in range(5)])
    api.get("/me")
    assert queries_of(api, "/agents/order-desk") == 2
