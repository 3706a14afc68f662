"""The organization's own settings: its name, its closing, and the undoing on the apex."""

from __future__ import annotations

from typing import Any

import pytest

from apps.orgs.models import Role
from apps.orgs.services import roles
from apps.orgs.services.keys import create_key
from apps.tenants.models import Org, Session, User
from tests.orgs.conftest import AT, Api, join
from tests.tenants.browsing import Browser, anonymous, as_member, is_page, signed_in, user_of


def state(org: Any) -> str:
    return str(Org.objects.get(id=org.id).state)


def test_a_new_name_is_audited(browser: Browser, org: Any, events: Any) -> None:
    answer = browser.post("/settings/", {"name": "Acme Corp"})

    assert (answer.status_code, answer["Location"]) == (303, "/settings/")
    assert Org.objects.get(id=org.id).name == "Acme Corp"
    [(action, _, detail)] = events()
    assert action == "orgs.org.renamed"
    assert (detail["old"], detail["new"]) == ({"name": "Acme"}, {"name": "Acme Corp"})
    assert b"Acme Corp" in browser.get("/settings/").content


def test_the_crumb_of_the_settings_leads_to_what_one_may_open(org: Any, owner: Any) -> None:
    role = roles.create_role(name="Desk", permissions=["members.view"], by=owner, at=AT)
    browser = as_member(org, join(org, role.slug))
    assert browser.get("/settings/").status_code == 403
    for path in ("/settings/members/", "/settings/keys/"):
        above = browser.get(path).context["crumbs"][0]
        assert above == ("Settings", "/settings/members/")
    assert as_member(org, owner).get("/settings/keys/").context["crumbs"][0][1] == "/settings/"


@pytest.mark.parametrize("name", ["", "   ", "k" * 81])
def test_a_refused_name_changes_nothing(browser: Browser, org: Any, events: Any, name: str) -> None:
    answer = browser.post("/settings/", {"name": name})
    assert answer.status_code == 422 and is_page(answer)
    assert f'value="{name}"'.encode() in answer.content or not name.strip()
    assert Org.objects.get(id=org.id).name == "Acme" and events() == []


@pytest.mark.parametrize("name", ["", "acme", "Globex"])
def test_closing_needs_the_name(browser: Browser, org: Any, events: Any, name: str) -> None:
    answer = browser.post("/settings/danger/", {"name": name})
    assert answer.status_code == 422 and is_page(answer)
    assert state(org) == "active" and events() == []


def test_closing_signs_everyone_out_and_stops_keys(
    browser: Browser, org: Any, owner: Any, somebody: Any, events: Any
) -> None:
    theirs = as_member(org, somebody("admin"))
    token = create_key(name="Import", by=owner, at=AT).token
    assert theirs.get("/").status_code == 200 and Api(token).get("/me").status_code == 200

    answer = browser.post("/settings/danger/", {"name": "Acme"})

    assert (answer.status_code, answer["Location"]) == (303, "/signed-out")
    assert is_page(anonymous(org).get("/signed-out"))
    for tab in (browser, theirs):
        told = tab.get("/")
        assert told.status_code == 403 and b"is being closed</h1>" in told.content
        assert tab.post("/projects/", {"name": "Late"}).status_code == 403
    assert Api(token).get("/me").status_code == 401
    assert not Session.objects.filter(org_id=org.id, user=user_of(owner)).exists()
    assert [action for action, *_ in events()][-1] == "orgs.org.closed"
    handover = f"/account/handover/?org=acme&nonce={'ab' * 32}"
    told = signed_in(user_of(owner)).get(handover)
    assert told.status_code == 403 and b"Acme is being closed</h1>" in told.content


def test_an_owner_undoes_the_closing_on_the_apex(
    browser: Browser, org: Any, owner: Any, somebody: Any, other_org: Any, events: Any
) -> None:
    url, admin = "/account/orgs/acme/reopen/", somebody("admin")
    browser.post("/settings/danger/", {"name": "Acme"})
    count = len(events())

    assert signed_in(user_of(admin)).post(url).status_code == 403
    stranger = User.objects.get(pk=other_org.owner_id)
    assert signed_in(stranger).post(url).status_code == 404
    assert anonymous().post(url)["Location"].startswith("/account/login/")
    assert signed_in(user_of(owner)).get(url).status_code == 405
    assert signed_in(user_of(owner), csrf=True).post(url).status_code == 403
    assert state(org) == "closing" and len(events()) == count
    apex = signed_in(user_of(owner))
    assert b"Undo closing" in apex.get("/account/").content

    answer = apex.post(url)

    assert (answer.status_code, answer["Location"]) == (303, "/account/")
    assert state(org) == "active"
    assert [action for action, *_ in events()][count:] == ["orgs.org.reopened"]
    assert as_member(org, owner).get("/").status_code == 200
    assert apex.post(url).status_code == 409


def test_only_who_may_undo_it_is_offered_to(
    browser: Browser, org: Any, owner: Any, somebody: Any
) -> None:
    """The page can't read the org's roles from the apex; the refusal says who may."""
    admin = somebody("admin")
    browser.post("/settings/danger/", {"name": "Acme"})
    refused = signed_in(user_of(admin)).post("/account/orgs/acme/reopen/")
    assert b"Only an owner can undo the closing." in refused.content
    assert Role.objects.get(slug="owner").members.count() == 1
