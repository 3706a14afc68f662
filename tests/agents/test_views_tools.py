"""What an agent offers and who may call it, in a browser."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Capability, Grant
from apps.common.ids import public_id
from apps.tenants import keys
from tests.agents.factories import let_call, make_agent, make_desk
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import Browser, is_page, is_part

SCHEMA = '{"type": "object", "properties": {"order": {"type": "string"}}}'
TOOL = {
    "name": "lookup",
    "description": "Tells where an order is.",
    "auth": "any",
    "price": "0.0042",
    "read_only": "on",
    "input_schema": SCHEMA,
    "output_schema": '{"type": "object"}',
}


@pytest.fixture
def echo(org: Any, owner: Any) -> Agent:
    return make_agent(owner)


@pytest.fixture
def desk(org: Any, owner: Any) -> Agent:
    return make_desk(owner)


def test_a_tool_is_added_changed_and_removed_without_scripts(browser: Browser, desk: Agent) -> None:
    answer = browser.post("/agents/order-desk/tools/", TOOL)
    assert (answer.status_code, answer["Location"]) == (303, "/agents/order-desk/tools/")
    made = Capability.objects.get(name="lookup")
    assert (made.price_micros, made.read_only, made.destructive) == (4200, True, False)
    assert list(made.input_schema["properties"]) == ["order"]

    page = browser.get("/agents/order-desk/tools/lookup/")
    assert is_page(page) and b'value="0.0042"' in page.content
    assert is_part(browser.part("/agents/order-desk/tools/lookup/"))
    changed = {**TOOL, "price": "0", "auth": "person", "read_only": ""}
    browser.post("/agents/order-desk/tools/lookup/", changed)
    made.refresh_from_db()
    assert (made.price_micros, made.auth, made.read_only) == (0, "person", False)

    browser.post("/agents/order-desk/tools/lookup/remove/")
    assert list(Capability.objects.values_list("name", flat=True)) == ["invoke"]
    assert b"only tool" in browser.get("/agents/order-desk/tools/invoke/").content
    assert browser.post("/agents/order-desk/tools/invoke/remove/").status_code == 409
    assert browser.get("/agents/order-desk/tools/lookup/").status_code == 404


def test_the_text_and_price_of_a_builtin_tool_can_be_changed(browser: Browser, echo: Agent) -> None:
    page = browser.get("/agents/echo/tools/echo/")
    assert b'name="description"' in page.content and b'name="input_schema"' not in page.content
    data = {"description": "Parrots.", "auth": "agent", "price": "1.5"}

    answer = browser.post("/agents/echo/tools/echo/", data)

    assert answer.status_code == 303
    tool = Capability.objects.get()
    assert (tool.description, tool.auth, tool.price_micros) == ("Parrots.", "agent", 1_500_000)
    assert browser.post("/agents/echo/tools/", TOOL).status_code == 422
    assert browser.post("/agents/echo/tools/echo/remove/").status_code == 409
    assert Capability.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "no good"}, "name"),
        ({"name": "invoke"}, "name"),
        ({"price": "-1"}, "price"),
        ({"price": "0.0000001"}, "price"),
        ({"auth": "nobody"}, "auth"),
        ({"destructive": "on"}, "destructive"),
        ({"input_schema": "{"}, "input_schema"),
        ({"input_schema": "[]"}, "input_schema"),
        ({"input_schema": '{"type": "string"}'}, "input_schema"),
        ({"output_schema": '{"type": "object", "$ref": "https://x.example/"}'}, "output_schema"),
    ],
)
def test_a_refused_tool_keeps_what_was_typed(
    browser: Browser, desk: Agent, changes: dict[str, str], field: str
) -> None:
    data = {**TOOL, "description": "Kept words", **changes}
    whole = browser.post("/agents/order-desk/tools/", data)
    part = browser.post("/agents/order-desk/tools/", data, HX_Request="true")
    assert is_page(whole) and is_part(part)
    for answer in (whole, part):
        assert answer.status_code == 422 and b"Kept words" in answer.content
        assert f'id="id_{field}_error"' in answer.content.decode()
    assert Capability.objects.count() == 1


# Grants


def test_a_grant_is_given_and_revoked_without_scripts(
    browser: Browser, echo: Agent, desk: Agent
) -> None:
    empty = browser.get("/agents/order-desk/grants/")
    assert b"No agent may call it" in empty.content
    data = {"caller": "echo", "tools": "invoke", "lifetime": "30"}

    answer = browser.post("/agents/order-desk/grants/", data)

    assert (answer.status_code, answer["Location"]) == (303, "/agents/order-desk/grants/")
    grant = Grant.objects.get()
    assert (grant.caller, grant.callee, grant.tools) == (echo, desk, ["invoke"])
    assert grant.expires_at is not None
    assert timedelta(days=29) < grant.expires_at - timezone.now() < timedelta(days=31)
    page = browser.get("/agents/order-desk/grants/")
    assert [row["status"] for row in page.context["grants"]] == ["active"]
    held = browser.get("/agents/echo/grants/").context["held"]
    assert [(row["other"], row["tools"]) for row in held] == [(desk, ["invoke"])]

    url = f"/agents/order-desk/grants/{public_id('gnt', grant.id)}/revoke/"
    assert browser.post(url)["Location"] == "/agents/order-desk/grants/"
    page = browser.get("/agents/order-desk/grants/")
    assert [row["status"] for row in page.context["grants"]] == ["revoked"]
    assert browser.get("/agents/echo/grants/").context["held"] == []


def test_a_grant_that_is_over_says_so(
    browser: Browser, echo: Agent, desk: Agent, owner: Any
) -> None:
    grant = let_call(owner, echo, desk)
    Grant.objects.filter(id=grant.id).update(expires_at=timezone.now() - timedelta(days=1))
    page = browser.get("/agents/order-desk/grants/")
    assert [row["status"] for row in page.context["grants"]] == ["expired"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"caller": "order-desk"}, "caller"),
        ({"caller": "nobody"}, "caller"),
        ({"tools": "other"}, "tools"),
        ({"tools": ""}, "tools"),
        ({"lifetime": "7"}, "lifetime"),
        ({"caller": "granted"}, "caller"),
    ],
)
def test_a_refused_grant_names_its_field(
    browser: Browser, echo: Agent, desk: Agent, owner: Any, changes: dict[str, str], field: str
) -> None:
    let_call(owner, make_agent(owner, name="Granted"), desk)
    data = {"caller": "echo", "tools": "*", **changes}
    whole = browser.post("/agents/order-desk/grants/", data)
    part = browser.post("/agents/order-desk/grants/", data, HX_Request="true")
    assert is_page(whole) and is_part(part)
    for answer in (whole, part):
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
    assert Grant.objects.count() == 1


def test_a_grant_of_another_agent_or_org_is_not_found_here(
    browser: Browser, echo: Agent, desk: Agent, owner: Any, other_org: Any
) -> None:
    own = let_call(owner, echo, desk)
    with keys.holding(other_org.schema, other_org.id):
        them = owner_of(other_org)
        theirs = let_call(them, make_agent(them), make_desk(them))
    for agent, grant in (("echo", own), ("order-desk", theirs)):
        url = f"/agents/{agent}/grants/{public_id('gnt', grant.id)}/revoke/"
        assert browser.post(url).status_code == 404
    assert Grant.objects.get(id=own.id).active
    with keys.holding(other_org.schema, other_org.id):
        assert Grant.objects.get(id=theirs.id).active
    done = browser.post(f"/agents/order-desk/grants/{public_id('gnt', own.id)}/revoke/")
    assert done.status_code == 303 and not Grant.objects.get(id=own.id).active
