"""/v1 of agents: each endpoint's happy path and each of its errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.models import Agent, Capability, Grant, Manifest
from apps.common.ids import public_id
from apps.orgs.services import projects
from apps.runs.services.invoke import Ask, invoke
from apps.trust.models import SealedSecret
from tests.agents.factories import URL, let_call, make_agent, make_desk
from tests.orgs.conftest import AT, Api, problem

ECHO = {"name": "Echo", "runtime": "builtin", "config": {"skill": "echo"}}
DESK = {"name": "Order desk", "runtime": "http", "config": {"url": URL}}


def errors(answer: Any) -> dict[str, str]:
    assert problem(answer) == (422, "invalid"), answer.content
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def counts() -> tuple[int, ...]:
    kinds = (Agent, Capability, Manifest, Grant, SealedSecret)
    return tuple(kind.objects.count() for kind in kinds)


def slugs(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["slug"] for row in answer.json()["results"]]


def test_an_agent_from_making_to_retiring(api: Api, owner: Any) -> None:
    made = api.post("/agents", ECHO)
    assert made.status_code == 201
    body = made.json()
    assert body["id"].startswith("agt_")
    assert {
        name: body[name]
        for name in body
        if name not in {"id", "capabilities", "manifest", "created_at", "updated_at"}
    } == {
        "name": "Echo",
        "slug": "echo",
        "purpose": "",
        "project": "default",
        "accountable": {
            "id": public_id("mem", owner.member_id),
            "name": owner.member_label,
        },
        "status": "active",
        "status_note": "",
        "runtime": "builtin",
        "config": {"skill": "echo"},
        "timeout_seconds": 60,
        "signing_secret": None,
    }
    (capability,) = body["capabilities"]
    assert (capability["name"], capability["price_micros"], capability["auth"]) == (
        "echo",
        0,
        "any",
    )
    assert capability["annotations"] == {
        "read_only": True,
        "destructive": False,
        "idempotent": True,
        "open_world": False,
    }
    assert set(body["manifest"]) == {"version", "digest"}

    kept = {name: value for name, value in body.items() if name != "signing_secret"}
    for ref in (body["id"], "echo"):
        found = api.get(f"/agents/{ref}")
        assert (found.json(), found["ETag"]) == (kept, made["ETag"])
    assert api.get("/agents/echo", If_None_Match=made["ETag"]).status_code == 304

    changed = api.patch("/agents/echo", {"name": "Parrot"}, If_Match=made["ETag"])
    assert (changed.status_code, changed.json()["name"]) == (200, "Parrot")
    assert changed.json()["manifest"]["version"] == 2
    assert changed["ETag"] != made["ETag"]
    stale = api.patch("/agents/echo", {"name": "Late"}, If_Match=made["ETag"])
    assert problem(stale) == (412, "precondition_failed")
    assert problem(api.delete("/agents/echo", If_Match=made["ETag"]))[0] == 412
    assert api.get("/agents/echo").json()["name"] == "Parrot"

    gone = api.delete("/agents/echo", If_Match=changed["ETag"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert problem(api.get("/agents/echo")) == (404, "not_found")
    retired = api.get(f"/agents/{body['id']}").json()
    assert (retired["status"], retired["capabilities"]) == ("retired", [])
    assert problem(api.delete(f"/agents/{body['id']}")) == (409, "agent_state")
    assert api.post("/agents", {**ECHO, "slug": "echo"}).status_code == 201


def test_everything_that_an_agent_may_be_told(api: Api, owner: Any, somebody: Any) -> None:
    project = projects.create_project(name="Support", actor=owner.actor, at=AT)
    other = somebody("member")
    made = api.post(
        "/agents",
        {
            **DESK,
            "slug": "orders",
            "purpose": "Tells where an order is.",
            "project": "support",
            "accountable": public_id("mem", other.member_id),
            "timeout_seconds": 600,
            "status": "draft",
            "config": {"url": URL, "headers": {"X-Region": "eu"}},
            "capabilities": [
                {
                    "name": "lookup_order",
                    "description": "Finds an order.",
                    "input_schema": {"type": "object", "required": ["order"]},
                    "output_schema": {"type": "object"},
                    "annotations": {"read_only": True, "open_world": False},
                    "auth": "agent",
                    "price_micros": 4200,
                }
            ],
        },
    )
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["slug"], body["status"], body["project"]) == ("orders", "draft", project.slug)
    assert (body["accountable"]["id"], body["timeout_seconds"]) == (
        public_id("mem", other.member_id),
        600,
    )
    assert body["config"] == {"url": URL, "headers": {"x-region": "eu"}}
    (capability,) = body["capabilities"]
    assert capability == {
        "name": "lookup_order",
        "description": "Finds an order.",
        "input_schema": {"type": "object", "required": ["order"]},
        "output_schema": {"type": "object"},
        "annotations": {
            "read_only": True,
            "destructive": False,
            "idempotent": False,
            "open_world": False,
        },
        "auth": "agent",
        "price_micros": 4200,
    }
    by_id = api.post("/agents", {**ECHO, "project": public_id("prj", project.id)})
    assert by_id.json()["project"] == "support"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"name": "n" * 81}, "name"),
        ({"slug": "A B"}, "slug"),
        ({"colour": "red"}, "colour"),
        ({"purpose": "p" * 501}, "purpose"),
        ({"project": "nowhere"}, "project"),
        ({"project": "prj_" + "0" * 32}, "project"),
        ({"accountable": "mem_" + "0" * 32}, "accountable"),
        ({"accountable": "me"}, "accountable"),
        ({"runtime": "magic"}, "runtime"),
        ({"config": []}, "config"),
        ({"config": {"skill": "magic"}}, "config.skill"),
        ({"config": {}}, "config.skill"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": "60"}, "timeout_seconds"),
        ({"status": "retired"}, "status"),
        ({"capabilities": [{"name": "a"}]}, "capabilities"),
        ({**DESK, "config": {"url": "https://10.0.0.1/"}}, "config.url"),
        ({**DESK, "capabilities": [{"name": "a b"}]}, "capabilities.0.name"),
        ({**DESK, "capabilities": [{"name": "a"}, {"name": "a"}]}, "capabilities"),
        (
            {**DESK, "capabilities": [{"name": "a", "input_schema": {"type": "string"}}]},
            "capabilities.0.input_schema.type",
        ),
        (
            {**DESK, "capabilities": [{"name": "a", "annotations": {"read_only": 1}}]},
            "capabilities.0.annotations.read_only",
        ),
        (
            {
                **DESK,
                "capabilities": [
                    {"name": "a", "annotations": {"read_only": True, "destructive": True}}
                ],
            },
            "capabilities.0.annotations.destructive",
        ),
    ],
)
def test_what_an_agent_may_not_be(api: Api, more: dict[str, Any], field: str) -> None:
    before = counts()
    assert set(errors(api.post("/agents", {**ECHO, **more}))) == {field}
    assert counts() == before


def test_a_slug_that_is_taken_is_a_conflict(api: Api) -> None:
    assert api.post("/agents", {**ECHO, "slug": "mine"}).status_code == 201
    before = counts()
    assert problem(api.post("/agents", {**ECHO, "slug": "mine"})) == (409, "slug_in_use")
    assert counts() == before


def test_a_body_that_is_none_is_refused(api: Api) -> None:
    assert set(errors(api.post("/agents", {}))) == {"name", "runtime"}
    assert set(errors(api.post("/agents", []))) == {""}
    assert set(errors(api.patch(f"/agents/{api.post('/agents', ECHO).json()['slug']}", []))) == {""}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "other"}, "slug"),
        ({"runtime": "http"}, "runtime"),
        ({"capabilities": []}, "capabilities"),
        ({"name": ""}, "name"),
        ({"status": "retired"}, "status"),
        ({"config": {"skill": "magic"}}, "config.skill"),
        ({"project": "nowhere"}, "project"),
        ({"timeout_seconds": 601}, "timeout_seconds"),
    ],
)
def test_what_cannot_be_changed(api: Api, change: dict[str, Any], field: str) -> None:
    made = api.post("/agents", ECHO)
    assert set(errors(api.patch("/agents/echo", change))) == {field}
    assert api.get("/agents/echo")["ETag"] == made["ETag"]


def test_the_secret_of_an_http_agent_is_told_once(api: Api) -> None:
    made = api.post("/agents", DESK)
    secret = made.json()["signing_secret"]
    assert secret.startswith("whsec_")
    for path in ("/agents/order-desk", "/agents", "/agents/order-desk/manifests"):
        assert secret not in api.get(path).content.decode()
    assert "signing_secret" not in api.patch("/agents/order-desk", {"name": "Desk"}).json()

    rotated = api.post("/agents/order-desk/signing-secret").json()
    assert set(rotated) == {"signing_secret"}
    assert rotated["signing_secret"].startswith("whsec_")
    assert rotated["signing_secret"] != secret
    api.post("/agents", ECHO)
    assert problem(api.post("/agents/echo/signing-secret")) == (409, "not_signed")


def test_the_same_post_makes_one_agent_and_tells_the_same_secret(api: Api) -> None:
    first = api.post("/agents", DESK, Idempotency_Key="one")
    again = api.post("/agents", DESK, Idempotency_Key="one")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again["Idempotent-Replayed"] == "true"
    assert slugs(api.get("/agents")) == ["order-desk"]


def test_an_agent_is_activated_and_suspended(api: Api) -> None:
    api.post("/agents", {**ECHO, "status": "draft"})
    assert problem(api.post("/agents/echo/suspend", {})) == (409, "agent_state")
    active = api.post("/agents/echo/activate")
    assert (active.status_code, active.json()["status"]) == (200, "active")
    assert active["ETag"] == api.get("/agents/echo")["ETag"]
    assert problem(api.post("/agents/echo/activate")) == (409, "agent_state")

    suspended = api.post("/agents/echo/suspend", {"note": "Broken."})
    assert (suspended.json()["status"], suspended.json()["status_note"]) == ("suspended", "Broken.")
    assert api.post("/agents/echo/activate").json()["status_note"] == ""
    assert api.post("/agents/echo/suspend").json()["status"] == "suspended"
    assert set(errors(api.post("/agents/echo/suspend", {"note": "n" * 201}))) == {"note"}
    assert set(errors(api.post("/agents/echo/suspend", {"why": "x"}))) == {"why"}

    assert api.patch("/agents/echo", {"status": "active"}).json()["status"] == "active"
    assert api.patch("/agents/echo", {"status": "suspended"}).json()["status"] == "suspended"
    assert problem(api.patch("/agents/echo", {"status": "draft"})) == (409, "agent_state")


def test_the_kill_switch_tells_how_much_it_stopped(api: Api, owner: Any) -> None:
    api.post("/agents", ECHO)
    for _ in range(2):
        ask = Ask(agent="echo", input={"text": "hello"}, mode="async")
        invoke(ask, caller=owner.actor, at=timezone.now())

    killed = api.post("/agents/echo/kill", {"note": "Nonsense."})
    assert killed.status_code == 200
    assert (killed.json()["status"], killed.json()["status_note"]) == ("suspended", "Nonsense.")
    assert killed.json()["stopped_runs"] == 2
    assert api.post("/agents/echo/kill").json()["stopped_runs"] == 0
    api.post("/agents", {**ECHO, "name": "Draft", "status": "draft"})
    assert problem(api.post("/agents/draft/kill")) == (409, "agent_state")


def test_a_project_with_agents_cannot_go(api: Api) -> None:
    api.post("/projects", {"name": "Support"})
    api.post("/agents", {**ECHO, "project": "support"})
    assert problem(api.delete("/projects/support")) == (409, "project_in_use")
    assert api.patch("/projects/support", {"archived": True}).status_code == 200
    assert set(errors(api.post("/agents", {**ECHO, "project": "support"}))) == {"project"}


def test_the_list_is_paged_and_filtered(api: Api, owner: Any) -> None:
    projects.create_project(name="Support", actor=owner.actor, at=AT)
    for number in range(4):
        make_agent(owner, name=f"A{number}", at=AT + timedelta(seconds=number))
    make_desk(owner, status="draft", at=AT - timedelta(days=1))
    api.patch("/agents/a1", {"project": "support"})
    api.delete("/agents/a0")

    seen, cursor = [], ""
    while True:
        page = api.get(f"/agents?limit=2{cursor}")
        seen += slugs(page)
        if page.json()["next"] is None:
            break
        api.post("/agents", {**ECHO, "name": "Meanwhile"})
        cursor = f"&cursor={page.json()['next']}"
    assert seen == ["a3", "a2", "a1", "order-desk"]
    assert slugs(api.get("/agents?q=a2")) == ["a2"]
    assert slugs(api.get("/agents?status=draft")) == ["order-desk"]
    assert slugs(api.get("/agents?status=retired")) == ["a0"]
    assert "a0" in slugs(api.get("/agents?status=all"))
    assert slugs(api.get("/agents?runtime=http")) == ["order-desk"]
    assert slugs(api.get("/agents?project=support")) == ["a1"]
    for query in ("status=gone", "limit=0", "q=a&q=b", "agent=echo", "project=nowhere"):
        assert problem(api.get(f"/agents?{query}"))[0] == 422


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


def queries_of(api: Api, path: str) -> int:
    """What an answer costs beyond finding out who asks."""

    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status_code == 200
        return len(queries)

    return count(path) - count("/me")


@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("/agents", 2),  # the rows, and what they offer
        ("/agents/order-desk/capabilities", 3),  # the agent, what it offers, and the rows
        ("/agents/order-desk/manifests", 3),
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
