"""The pages of roles: the editor, what it refuses, and that a role opens what it holds."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.models import Role
from apps.orgs.permissions import OWNERS_ONLY, codes_of
from apps.orgs.services import roles
from tests.orgs.conftest import AT, Api, join, problem, token_for
from tests.tenants.browsing import Browser, as_member, is_page


def codes(slug: str) -> set[str]:
    found: Any = selectors.get_role(slug)
    return set(found.codes)


def made(owner: Any, *permissions: str) -> Role:
    return roles.create_role(name="Auditor", permissions=permissions, by=owner, at=AT)


def ticks(page: Any) -> dict[str, tuple[bool, bool]]:
    """Of each permission of the editor: whether it can be given, and whether it is ticked."""
    rows = [row for group in page.context["groups"] for row in group["permissions"]]
    return {row["code"]: (row["can_give"], row["checked"]) for row in rows}


def test_a_role_is_made_given_and_opens_exactly_what_it_holds(
    org: Any, browser: Browser, somebody: Any, events: Any
) -> None:
    # Given somebody who may see no agents and no settings
    data = {"name": "Auditor", "permissions": ["runs.view", "members.view"]}
    answer = browser.post("/settings/roles/new/", data)
    assert (answer.status_code, answer["Location"]) == (303, "/settings/roles/auditor/")
    person = somebody("viewer")
    ref = public_id("mem", person.member_id)
    assert browser.post(f"/settings/members/{ref}/role/", {"role": "auditor"}).status_code == 303
    theirs = as_member(org, person)

    # Then they see what the role holds, and nothing else
    assert [theirs.get(p).status_code for p in ("/", "/runs/", "/settings/members/")] == [200] * 3
    assert [theirs.get(p).status_code for p in ("/agents/", "/settings/")] == [403] * 2
    labels = [i["label"] for g in theirs.get("/").context["shell"]["nav"] for i in g["items"]]
    assert labels == ["Overview", "Runs", "Members", "API keys"]
    # And as soon as it holds another, that too
    change = {"name": "Auditor", "permissions": ["agents.view"]}
    assert browser.post("/settings/roles/auditor/", change).status_code == 303
    assert [theirs.get(p).status_code for p in ("/agents/", "/runs/")] == [200, 403]
    assert "orgs.role.updated" in [action for action, *_ in events()]


def test_a_new_role_begins_with_what_another_may(browser: Browser) -> None:
    assert not any(checked for _, checked in ticks(browser.get("/settings/roles/new/")).values())
    page = browser.get("/settings/roles/new/?from=viewer")
    assert {c for c, (_, checked) in ticks(page).items() if checked} == codes_of("viewer")
    assert not OWNERS_ONLY & set(ticks(page))
    assert [s["label"] for s in page.context["starts"] if s["is_current"]] == ["Viewer"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "", "permissions": "runs.view"}, "name"),
        ({"name": "Viewer", "permissions": "runs.view"}, "name"),
        ({"name": "Kept"}, "permissions"),
        ({"name": "Kept", "permissions": "org.close"}, "permissions"),
        ({"name": "Kept", "permissions": "runs.fly"}, "permissions"),
    ],
)
def test_a_refused_role_keeps_what_was_chosen(
    browser: Browser, events: Any, data: dict[str, str], field: str
) -> None:
    page = browser.post("/settings/roles/new/", {**data, "description": "Still here"})
    assert page.status_code == 422 and is_page(page)
    assert list(page.context["form"].errors) == [field] and b"Still here" in page.content
    assert (Role.objects.filter(built_in=False).exists(), events()) == (False, [])


def test_nobody_is_offered_what_is_beyond_them(org: Any, owner: Any) -> None:
    by = join(org, made(owner, "roles.manage", "roles.view").slug)
    browser = as_member(org, by)
    found = ticks(browser.get("/settings/roles/new/?from=admin"))
    assert {code for code, (can_give, _) in found.items() if can_give} == {
        "roles.manage",
        "roles.view",
    }
    data = {"name": "Up", "permissions": ["roles.view", "audit.view"]}
    assert browser.post("/settings/roles/new/", data).status_code == 422
    assert not Role.objects.filter(name="Up").exists()
    # A role that may more than they is shown and can't be changed
    roles.create_role(name="Strong", permissions=["audit.view"], by=owner, at=AT)
    page = browser.get("/settings/roles/strong/")
    assert page.status_code == 200 and page.context["can_edit"] is False
    assert b"may more than you" in page.content
    sent = browser.post("/settings/roles/strong/", {"name": "Weak", "permissions": "roles.view"})
    assert sent.status_code == 422 and codes("strong") == {"audit.view"}


def test_a_newer_change_is_not_overwritten(browser: Browser, owner: Any) -> None:
    role = made(owner, "runs.view")
    form = browser.get("/settings/roles/auditor/").context["form"]
    roles.update_role(role_id=role.id, permissions=["agents.view"], by=owner, at=AT)
    data = {"name": "Auditor", "permissions": "runs.view", "version": form["version"].value()}
    page = browser.post("/settings/roles/auditor/", data)
    assert page.status_code == 422 and b"changed since you opened it" in page.content
    assert codes("auditor") == {"agents.view"}


def test_a_role_goes_from_its_page_only_while_nobody_has_it(
    org: Any, browser: Browser, owner: Any
) -> None:
    made(owner, "runs.view")
    join(org, "auditor", name="Ada Osei")
    assert b"Ada Osei" in browser.get("/settings/roles/auditor/").content
    refused = browser.post("/settings/roles/auditor/delete/")
    assert refused.status_code == 409 and b"Ada Osei" in refused.content
    assert codes("auditor") == {"runs.view"}
    roles.create_role(name="Unused", permissions=["runs.view"], by=owner, at=AT)
    gone = browser.post("/settings/roles/unused/delete/")
    assert (gone.status_code, gone["Location"]) == (303, "/settings/roles/")
    assert browser.get("/settings/roles/unused/").status_code == 404


def test_the_api_makes_changes_and_deletes_a_role(org: Any, owner: Any, api: Api) -> None:
    body = {"name": "Auditor", "permissions": ["runs.view", "audit.view"]}
    created = api.post("/roles", body)
    assert created.status_code == 201
    found = created.json()
    assert found["slug"] == "auditor" and found["permissions"] == ["audit.view", "runs.view"]
    assert (found["built_in"], found["members"]) == (False, 0)
    assert problem(api.post("/roles", body)) == (409, "role_name_in_use")
    assert problem(api.post("/roles", {**body, "permissions": ["org.close"]})) == (422, "invalid")

    who = Api(token_for(org, join(org, "auditor")))
    assert who.get("/me").json()["permissions"] == found["permissions"]
    changed = api.patch("/roles/auditor", {"permissions": ["runs.view"]}, If_Match=created["ETag"])
    assert changed.json()["permissions"] == ["runs.view"]
    assert who.get("/me").json()["permissions"] == ["runs.view"]
    stale = api.patch("/roles/auditor", {"name": "X"}, If_Match=created["ETag"])
    assert problem(stale) == (412, "precondition_failed")
    assert problem(api.delete("/roles/auditor")) == (409, "role_in_use")
    assert problem(api.patch("/roles/viewer", {"name": "X"})) == (409, "built_in_role")
    assert problem(api.delete("/roles/no-such")) == (404, "not_found")


def test_the_api_lists_what_can_be_allowed(api: Api) -> None:
    found = {row["code"]: row for row in api.get("/permissions").json()["results"]}
    assert {code for code, row in found.items() if row["owners_only"]} == OWNERS_ONLY
    assert found["roles.manage"]["agents"] is False
    assert found["runs.view"]["area"] == "Runs"
