"""Members, roles and invitations in a browser."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common import pagination
from apps.common.ids import public_id
from apps.orgs.models import Invitation, Member
from apps.orgs.permissions import MATRIX, codes_of
from apps.orgs.services import invitations, roles
from apps.orgs.services.keys import create_key
from apps.tenants.models import Membership
from tests.orgs.conftest import AT, join
from tests.tenants.browsing import Browser, as_member, is_page, is_part, user_of


def ref(principal: Any) -> str:
    return public_id("mem", principal.member_id)


def role_of(principal: Any) -> str:
    return Member.objects.select_related("role").get(id=principal.member_id).role.slug


def test_an_invitation_is_sent_without_scripts(browser: Browser, events: Any) -> None:
    answer = browser.post("/settings/invitations/", {"email": "Pat@X.example", "role": "viewer"})

    assert (answer.status_code, answer["Location"]) == (303, "/settings/members/")
    made = Invitation.objects.select_related("role").get(email="pat@x.example")
    assert (made.state, made.role.slug) == ("pending", "viewer")
    assert [action for action, *_ in events()] == ["orgs.invitation.created"]
    page = browser.get("/settings/members/").content
    assert b"pat@x.example" in page and b"on its way" in page


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"email": "not-an-address", "role": "viewer"}, "email"),
        ({"email": "kept@x.example", "role": "emperor"}, "role"),
        ({"email": "kept@x.example"}, "role"),
        ({"email": "owner@acme.example", "role": "viewer"}, "email"),
        ({"email": "taken@x.example", "role": "viewer"}, "email"),
    ],
)
def test_a_refused_invitation_keeps_what_was_typed(
    browser: Browser, owner: Any, events: Any, data: dict[str, str], field: str
) -> None:
    invitations.invite(email="taken@x.example", role="viewer", by=owner, at=AT)
    before = Invitation.objects.count(), len(events())

    answer = browser.post("/settings/invitations/", data)

    assert answer.status_code == 422 and is_page(answer)
    assert list(answer.context["form"].errors) == [field]
    assert f'value="{data["email"]}"'.encode() in answer.content
    assert (Invitation.objects.count(), len(events())) == before


def test_nobody_invites_above_themselves(org: Any, somebody: Any, events: Any) -> None:
    admin = as_member(org, somebody("admin"))
    offered = [role["slug"] for role in admin.get("/settings/members/").context["roles"]]
    assert offered == ["viewer", "member", "admin"]

    data = {"email": "kept@x.example", "role": "owner"}
    refused = admin.post("/settings/invitations/", data)
    assert refused.status_code == 422 and b"you lack owners.manage yourself" in refused.content
    assert not Invitation.objects.filter(email="kept@x.example").exists()
    assert [row[:2] for row in events()] == [("trust.call.refused", "beyond_own_power")]
    assert admin.post("/settings/invitations/", {**data, "role": "admin"}).status_code == 303


def test_an_invitation_is_sent_again_and_taken_back(
    browser: Browser, owner: Any, events: Any
) -> None:
    made = invitations.invite(email="pat@x.example", role="viewer", by=owner, at=AT)
    url = f"/settings/invitations/{public_id('inv', made.id)}"

    for verb in ("resend", "revoke"):
        answer = browser.post(f"{url}/{verb}/")
        assert (answer.status_code, answer["Location"]) == (303, "/settings/members/")
    made.refresh_from_db()
    assert made.state == "revoked"
    assert [action for action, *_ in events()][1:] == [
        "orgs.invitation.resent",
        "orgs.invitation.revoked",
    ]
    assert browser.post(f"{url}/resend/").status_code == 409
    assert len(events()) == 3


def test_who_may_see_invitations_sees_them_and_who_may_invite_can(org: Any, owner: Any) -> None:
    """Two permissions: one opens the list, the other the form and what the list offers."""
    invitations.invite(email="pat@x.example", role="viewer", by=owner, at=AT)

    def page_of(*codes: str) -> Any:
        held = ["members.view", *codes]
        role = roles.create_role(name=" ".join(held), permissions=held, by=owner, at=AT)
        return as_member(org, join(org, role.slug)).get("/settings/members/").content

    looking = page_of("invitations.view")
    assert b"pat@x.example" in looking and b"Send again" not in looking
    assert b"ask somebody who is Owner or Admin." in looking and b"Send invitation" not in looking
    inviting = page_of("invitations.manage")
    assert b"pat@x.example" not in inviting and b"Send invitation" in inviting
    both = page_of("invitations.view", "invitations.manage")
    assert b"pat@x.example" in both and b"Send again" in both
    neither = page_of()
    assert b"pat@x.example" not in neither and b"Send invitation" not in neither


def test_a_role_is_changed_and_takes_effect_at_once(
    browser: Browser, org: Any, somebody: Any, events: Any
) -> None:
    person = somebody("viewer")
    theirs = as_member(org, person)
    assert theirs.post("/projects/", {"name": "Early"}).status_code == 403

    answer = browser.post(f"/settings/members/{ref(person)}/role/", {"role": "member"})

    assert (answer.status_code, answer["Location"]) == (303, "/settings/members/")
    assert role_of(person) == "member"
    assert [action for action, *_ in events()] == [
        "trust.call.refused",
        "orgs.member.role_changed",
    ]
    assert theirs.post("/projects/", {"name": "Early"}).status_code == 303


@pytest.mark.parametrize(("role", "status"), [("", 422), ("emperor", 422), ("owner", 303)])
def test_a_role_must_exist(browser: Browser, somebody: Any, role: str, status: int) -> None:
    person = somebody("viewer")
    answer = browser.post(f"/settings/members/{ref(person)}/role/", {"role": role})
    assert answer.status_code == status
    assert role_of(person) == ("owner" if status == 303 else "viewer")


def test_an_admin_touches_no_owner(org: Any, owner: Any, somebody: Any, events: Any) -> None:
    admin, other = as_member(org, somebody("admin")), somebody("owner")
    for act, data in (("role", {"role": "viewer"}), ("remove", {})):
        assert admin.post(f"/settings/members/{ref(other)}/{act}/", data).status_code == 403
    assert role_of(other) == "owner"
    assert [action for action, *_ in events()] == ["trust.call.refused"]


def test_what_would_be_refused_is_not_offered(org: Any, owner: Any, somebody: Any) -> None:
    """A role of the org's own overrules only who may no more than it does."""
    held = ["members.manage", *codes_of("viewer")]
    steward = roles.create_role(name="Steward", permissions=held, by=owner, at=AT)
    admin, viewer = somebody("admin"), somebody("viewer")
    browser = as_member(org, somebody(steward.slug))

    rows = browser.get("/settings/members/").context["members"]

    offered = {row["email"] for row in rows if row["can_change"] and row["can_remove"]}
    assert viewer.email in offered and not offered & {admin.email, owner.email}
    for person, status in ((admin, 403), (viewer, 303)):
        assert browser.post(f"/settings/members/{ref(person)}/remove/").status_code == status


@pytest.mark.parametrize(("act", "data"), [("remove", {}), ("role", {"role": "viewer"})])
def test_the_last_owner_stays(
    browser: Browser, owner: Any, somebody: Any, events: Any, act: str, data: dict[str, str]
) -> None:
    url = f"/settings/members/{ref(owner)}/{act}/"

    refused = browser.post(url, data)
    assert refused.status_code == 409 and b"Make somebody else an owner first" in refused.content
    assert role_of(owner) == "owner" and events() == []
    assert browser.get("/settings/members/").status_code == 200

    somebody("owner")
    assert browser.post(url, data).status_code == 303


def test_removing_a_member_ends_their_session_and_keys(
    browser: Browser, org: Any, somebody: Any, events: Any
) -> None:
    person = somebody("member")
    theirs = as_member(org, person)
    key = create_key(name="Import", by=person, at=AT).key
    assert theirs.get("/projects/").status_code == 200

    answer = browser.post(f"/settings/members/{ref(person)}/remove/")

    assert (answer.status_code, answer["Location"]) == (303, "/settings/members/")
    assert theirs.get("/projects/")["Location"] == "/login?next=%2Fprojects%2F"
    assert theirs.post("/projects/", {"name": "Late"}).status_code == 401
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert not Membership.objects.filter(user=user_of(person), org_id=org.id).exists()
    assert "orgs.member.removed" in [action for action, *_ in events()]


def test_a_viewer_may_leave_and_lands_on_a_page_that_opens(
    org: Any, somebody: Any, events: Any
) -> None:
    person = somebody("viewer")
    browser = as_member(org, person)

    answer = browser.post(f"/settings/members/{ref(person)}/remove/")

    assert (answer.status_code, answer["Location"]) == (303, "/signed-out")
    assert is_page(browser.get("/signed-out"))
    assert browser.get("/projects/").status_code == 302
    assert [action for action, *_ in events()] == ["orgs.member.left"]


def test_leaving_with_scripts_leaves_the_shell(org: Any, somebody: Any) -> None:
    person = somebody("viewer")
    url = f"/settings/members/{ref(person)}/remove/"
    answer = as_member(org, person).post(url, HX_Request="true", HX_Boosted="true")
    assert (answer.status_code, answer["HX-Redirect"]) == (200, "/signed-out")


def test_the_roles_page_says_what_the_table_says(org: Any, browser: Browser, somebody: Any) -> None:
    page = browser.get("/settings/roles/")
    shown = {
        p["code"]: [cell["allowed"] for cell in p["cells"]]
        for g in page.context["groups"]
        for p in g["permissions"]
    }
    assert [role["label"] for role in page.context["roles"]] == [
        "Owner",
        "Admin",
        "Member",
        "Viewer",
    ]
    assert len({g["label"] for g in page.context["groups"]}) == len(page.context["groups"])
    assert "Other" not in [g["label"] for g in page.context["groups"]]
    assert shown["org.close"] == [True, False, False, False]
    assert shown["projects.create"] == [True, True, True, False]
    assert set(shown) == set(MATRIX)
    for role in ("owner", "viewer"):
        theirs = as_member(org, somebody(role)).get("/settings/roles/")
        assert [r["label"] for r in theirs.context["roles"] if r["is_own"]] == [role.capitalize()]
        assert theirs.context["can_change"] is (role == "owner")


def test_members_are_filtered_as_a_page_and_as_a_part(
    org: Any, owner: Any, browser: Browser, somebody: Any
) -> None:
    person = somebody("viewer")

    def named(query: str) -> list[str]:
        page, part = (get(f"/settings/members/?{query}") for get in (browser.get, browser.part))
        assert is_page(page) and is_part(part) and b'id="member-results"' in part.content
        found = [row["email"] for row in page.context["members"]]
        assert [e for e in (owner.email, person.email) if e.encode() in part.content] == found
        return found

    assert sorted(named("")) == sorted([owner.email, person.email])
    assert named(f"q={person.email[:12].upper()}") == [person.email]
    assert named("role=viewer") == [person.email]
    assert named("role=owner&q=zzz") == []
    none = browser.get("/settings/members/?q=zzz").content
    assert b"No member matches" in none and b"Clear filters" in none


def test_members_are_shown_a_page_at_a_time(
    browser: Browser, somebody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        somebody("viewer")
    monkeypatch.setitem(pagination.paginate.__kwdefaults__, "limit", 2)
    first = browser.get("/settings/members/")
    second = browser.get(f"/settings/members/{first.context['older_url']}")
    pages = [[row["id"] for row in page.context["members"]] for page in (first, second)]
    assert [len(page) for page in pages] == [2, 2] and not set(pages[0]) & set(pages[1])
    assert second.context["older_url"] is None
    back = browser.get(f"/settings/members/{second.context['newer_url']}")
    assert [row["id"] for row in back.context["members"]] == pages[0]


def test_a_viewer_sees_people_but_no_forms(org: Any, somebody: Any, owner: Any) -> None:
    invitations.invite(email="pat@x.example", role="viewer", by=owner, at=AT)
    page = as_member(org, somebody("viewer")).get("/settings/members/").content
    assert b"owner@acme.example" in page and b"pat@x.example" not in page
    assert b'id="invite"' not in page and b"/role/" not in page
