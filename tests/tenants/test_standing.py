"""An org that is shut: 403, with why and whom to ask, and nothing of it to strangers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.orgs.services import members
from apps.tenants import keys
from apps.tenants.models import Org, Session
from apps.tenants.services import orgs
from tests.orgs.conftest import join, owner_of
from tests.tenants.browsing import anonymous, as_member, is_page, signed_in, user_of

NONCE = "ab" * 32
HANDOVER = f"/account/handover/?org=acme&nonce={NONCE}"


def shut(org: Any, how: str) -> None:
    if how == "suspended":
        orgs.suspend_org(org_id=org.id)
    else:
        found = Org.objects.get(id=org.id)
        found.close(erase_at=timezone.now() + timedelta(days=30))
        found.save()


@pytest.mark.parametrize("how", ["suspended", "closing"])
@pytest.mark.parametrize("path", ["/", "/runs/", "/settings/members/"])
def test_its_members_are_told_why_and_whom_to_ask(acme: Any, path: str, how: str) -> None:
    member = as_member(acme, join(acme, "member"))
    assert member.get(path).status_code == 200
    shut(acme, how)

    page = member.get(path)
    text = page.content.decode()
    assert page.status_code == 403 and is_page(page)
    words = "is suspended" if how == "suspended" else "is being closed"
    assert f"Acme {words}</h1>" in text
    assert "owner@acme.example" in text
    assert 'href="http://localhost:8000/account/"' in text
    assert member.post("/projects/", {"name": "No"}).status_code == 403
    assert Session.objects.filter(org_id=acme.id).exists() is (how == "suspended")


def test_who_owns_it_now_is_named_and_not_who_once_asked_for_it(acme: Any) -> None:
    founder, heir = owner_of(acme), join(acme, "owner")
    member = as_member(acme, join(acme, "member"))
    with keys.holding(acme.schema, acme.id):
        members.remove_member(member_id=founder.member_id, by=heir, at=timezone.now())
    shut(acme, "suspended")

    text = member.get("/").content.decode()

    assert f'href="mailto:{heir.email}"' in text and "its owner" in text
    assert founder.email not in text


def test_a_stranger_learns_no_name(acme: Any, other_org: Any) -> None:
    shut(acme, "suspended")
    stranger = user_of(owner_of(other_org))
    for browser in (anonymous(acme), signed_in(stranger, on=acme)):
        page = browser.get("/")
        assert page.status_code == 403
        assert "This organization is suspended</h1>" in page.content.decode()
        assert b"Acme" not in page.content and b"owner@" not in page.content
    assert signed_in(stranger).get(HANDOVER).status_code == 404


def test_on_the_way_in_a_member_is_told_too(acme: Any) -> None:
    member = user_of(join(acme, "viewer"))
    assert signed_in(member).get(HANDOVER).status_code == 302
    shut(acme, "suspended")
    page = signed_in(member).get(HANDOVER)
    assert page.status_code == 403
    assert b"Acme is suspended</h1>" in page.content


def test_once_it_is_resumed_the_same_session_opens_it(acme: Any) -> None:
    member = as_member(acme, join(acme, "member"))
    shut(acme, "suspended")
    assert member.get("/").status_code == 403
    assert Session.objects.filter(org_id=acme.id).count() == 1
    orgs.resume_org(org_id=acme.id)
    assert member.get("/").status_code == 200


def test_a_fragment_is_told_in_place(acme: Any) -> None:
    member = as_member(acme, join(acme, "member"))
    shut(acme, "suspended")
    part = member.part("/runs/")
    assert part.status_code == 403 and b"<html" not in part.content
    assert part["HX-Retarget"] == "#problem"
    assert b"This organization is suspended." in part.content


def test_the_operators_address_is_named_where_there_is_one(acme: Any, settings: Any) -> None:
    member = as_member(acme, join(acme, "member"))
    shut(acme, "suspended")
    assert b"the operator of this installation" in member.get("/").content
    settings.SUPPORT_EMAIL = "help@mandate.example"
    assert b'href="mailto:help@mandate.example"' in member.get("/").content


def test_an_active_org_lets_strangers_sign_in_as_before(acme: Any) -> None:
    answer = anonymous(acme).get("/runs/")
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=%2Fruns%2F")
