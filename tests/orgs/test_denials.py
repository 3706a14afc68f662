"""Why something was refused: on pages, in fragments and by the API, for roles, keys and agents."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.services.agents import create_agent
from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.permissions import MATRIX, codes_of
from apps.orgs.services import roles
from tests.orgs.conftest import AT, Api, join, owner_of, token_for
from tests.tenants.browsing import as_member, is_page, is_part


def why(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 403, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_api_says_what_is_missing_and_who_can_give_it(org: Any, owner: Any) -> None:
    join(org, "admin", name="Kofi Adjei")
    api = Api(token_for(org, join(org, "viewer")))

    told = why(api.post("/projects", {"name": "No"}))

    assert (told["code"], told["permission"]) == ("permission_denied", "projects.create")
    assert (told["allows"], told["missing_in"]) == ("Create projects", "role")
    assert told["granted_by_roles"] == ["owner", "admin", "member"]
    assert told["ask"] == [owner.member_label, "Kofi Adjei"]
    assert told["detail"] == (
        "This needs the permission projects.create: create projects. Roles with it: Owner, Admin "
        f"and Member; the key’s owner is Viewer. {owner.member_label} or Kofi Adjei can change "
        "that."
    )


def test_a_role_of_ones_own_is_named_and_who_cannot_give_is_not(org: Any, owner: Any) -> None:
    roles.create_role(name="Builder", permissions=["projects.create"], by=owner, at=AT)
    weak = roles.create_role(
        name="Doorman", permissions=["members.manage", "members.view"], by=owner, at=AT
    )
    told = why(Api(token_for(org, join(org, weak.slug))).post("/projects", {"name": "No"}))
    assert told["granted_by_roles"] == ["owner", "admin", "member", "builder"]
    assert told["ask"] == [owner.member_label]


def test_who_may_see_nobody_is_told_no_names(org: Any, owner: Any) -> None:
    giving = ["members.manage", "members.view"]
    roles.create_role(name="Doorman", permissions=giving, by=owner, at=AT)
    blind = roles.create_role(name="Blind", permissions=["runs.view"], by=owner, at=AT)
    told = why(Api(token_for(org, join(org, blind.slug))).get("/members"))
    assert "ask" not in told and owner.member_label not in told["detail"]
    assert told["detail"].endswith("Ask somebody who is Owner, Admin or Doorman.")


def test_a_key_is_told_of_its_scopes_and_an_agents_of_what_no_agent_may(
    org: Any, owner: Any
) -> None:
    scoped = Api(token_for(org, owner, scopes=["runs.view"]))
    told = why(scoped.get("/projects"))
    assert (told["missing_in"], "ask" in told) == ("scopes", False)
    assert told["detail"].endswith("the key’s scopes leave it out.")

    said: dict[str, Any] = {"accountable_id": owner.member_id, "actor": owner.actor, "at": AT}
    create_agent(name="Echo", runtime="builtin", config={"skill": "echo"}, **said)
    of_agent = Api(token_for(org, owner, agent="echo"))
    told = why(of_agent.get("/keys"))
    assert (told["permission"], told["missing_in"]) == ("keys.own", "agent")
    assert "No agent’s key may have it" in told["detail"]
    assert of_agent.get("/projects").status_code == 200


def test_an_owners_only_permission_is_the_owners_to_give(org: Any, owner: Any) -> None:
    admin = join(org, "admin", name="Kofi Adjei")
    page = as_member(org, admin).get("/settings/danger/")
    assert (page.status_code, is_page(page)) == (403, True)
    assert page.context["problem"]["ask"] == [owner.member_label]


def test_what_is_beyond_ones_power_names_the_permission_and_who_has_it(
    org: Any, owner: Any
) -> None:
    admin, viewer = Api(token_for(org, join(org, "admin"))), join(org, "viewer")

    told = why(admin.patch(f"/members/{public_id('mem', viewer.member_id)}", {"role": "owner"}))

    assert (told["code"], told["permission"]) == ("beyond_own_power", "owners.manage")
    assert (told["missing_in"], told["granted_by_roles"]) == ("role", ["owner"])
    assert told["ask"] == [owner.member_label]
    assert told["detail"] == (
        "You may not make anybody owner: you lack owners.manage yourself. Roles with it: Owner; "
        f"the key’s owner is Admin. {owner.member_label} can change that."
    )
    narrow = Api(token_for(org, owner, scopes=["roles.manage", "keys.own"]))
    for path, body in (
        ("/roles", {"name": "Up", "permissions": ["audit.view"]}),
        ("/keys", {"name": "Up", "scopes": ["audit.view"]}),
    ):
        told = why(narrow.post(path, body))
        assert (told["permission"], told["missing_in"]) == ("audit.view", "scopes")


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("/settings/roles/new/", {"name": "Up", "permissions": "audit.view"}, "audit.view"),
        ("/settings/invitations/", {"email": "up@x.example", "role": "admin"}, "agents.delete"),
        ("/settings/keys/", {"name": "Up", "scopes": "audit.view"}, "audit.view"),
    ],
)
def test_a_refusal_in_a_form_says_why_too_and_goes_on_record(
    org: Any, owner: Any, events: Any, path: str, data: dict[str, str], code: str
) -> None:
    doing = ["roles.manage", "invitations.manage", "keys.own", "members.view"]
    doer = roles.create_role(name="Doer", permissions=doing, by=owner, at=AT)
    page = as_member(org, join(org, doer.slug)).post(path, data)
    text = page.content.decode()
    assert page.status_code == 422 and is_page(page)
    assert code in text and "Roles with it: Owner" in text and owner.member_label in text
    assert [row[:2] for row in events()[1:]] == [("trust.call.refused", "beyond_own_power")]


def test_a_page_and_a_fragment_say_why_and_lead_to_the_roles(
    org: Any, owner: Any, somebody: Any
) -> None:
    browser = as_member(org, somebody("viewer"))
    page = browser.post("/projects/?project=default", {"name": "No"})
    text = page.content.decode()
    assert is_page(page) and page.status_code == 403
    assert "projects.create: create projects" in text and owner.member_label in text
    assert 'href="/settings/roles/?project=default"' in text
    part = browser.post("/projects/", {"name": "No"}, HX_Request="true")
    assert is_part(part) and part["HX-Retarget"] == "#problem"
    assert b"projects.create: create projects" in part.content
    assert b'href="/settings/roles/"' in part.content


def test_who_may_not_see_roles_is_not_led_there(org: Any, owner: Any) -> None:
    role = roles.create_role(name="Blind", permissions=["projects.view"], by=owner, at=AT)
    page = as_member(org, join(org, role.slug)).post("/projects/", {"name": "No"})
    assert page.status_code == 403 and b"/settings/roles/" not in page.content


@pytest.mark.parametrize("code", MATRIX)
def test_who_is_named_can_give_it(org: Any, code: str) -> None:
    giving = "owners.manage" if code not in codes_of("admin") else "members.manage"
    admin, owner = join(org, "admin"), owner_of(org)
    named = selectors.list_givers(code, giving=giving, limit=5)
    able = [owner.member_label, admin.member_label] if code in codes_of("admin") else []
    assert named == (able or [owner.member_label])
