"""/v1 of agents: each endpoint's happy path and each of its errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Capability, Grant, Manifest
from apps.common.ids import public_id
from apps.orgs.services import projects
from apps.runs.services.invoke import Ask, invoke
from apps.trust.models import SealedSecret
from tests.agents.factories import DESK, ECHO, URL, errors, make_agent, make_desk
from tests.orgs.conftest import AT, Api, problem


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
        invoke(ask, caller=owner, at=timezone.now())

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
