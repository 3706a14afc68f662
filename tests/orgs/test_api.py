"""/v1: each endpoint's happy path and each of its errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.models import Invitation, Member, Project
from apps.orgs.services import invitations, projects
from tests.orgs.conftest import AT, Api, is_described, owner_of, problem


def errors(answer: Any) -> dict[str, str]:
    assert problem(answer) == (422, "invalid")
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def test_a_project_from_making_to_deleting(api: Api) -> None:
    made = api.post("/projects", {"name": "Support", "tags": ["emea"]})
    assert made.status_code == 201
    body = made.json()
    assert body["id"].startswith("prj_")
    assert (body["name"], body["slug"], body["tags"], body["default"], body["archived_at"]) == (
        "Support",
        "support",
        ["emea"],
        False,
        None,
    )
    for ref in (body["id"], "support"):
        found = api.get(f"/projects/{ref}")
        assert (found.json(), found["ETag"]) == (body, made["ETag"])
    assert api.get("/projects/support", If_None_Match=made["ETag"]).status_code == 304

    changed = api.patch("/projects/support", {"name": "Help"}, If_Match=made["ETag"])
    assert (changed.status_code, changed.json()["name"]) == (200, "Help")
    assert changed["ETag"] != made["ETag"]
    stale = api.patch("/projects/support", {"name": "Late"}, If_Match=made["ETag"])
    assert problem(stale) == (412, "precondition_failed")
    assert problem(api.delete("/projects/support", If_Match=made["ETag"]))[0] == 412
    assert api.patch("/projects/support", {"archived": True}).json()["archived_at"]
    gone = api.delete("/projects/support")
    assert (gone.status_code, gone.content) == (204, b"")
    assert problem(api.get("/projects/support")) == (404, "not_found")


def test_what_a_project_may_not_be(api: Api, org: Any) -> None:
    before = Project.objects.count()
    assert errors(api.post("/projects", {})) == {"name": "This field is required."}
    assert set(errors(api.post("/projects", {"name": 7}))) == {"name"}
    assert set(errors(api.post("/projects", {"name": "A", "slug": "A B", "colour": 1}))) == {
        "colour"
    }
    assert set(errors(api.post("/projects", {"name": "A", "slug": "A B"}))) == {"slug"}
    assert set(errors(api.post("/projects", {"name": "A", "tags": ["ok", 3]}))) == {"tags.1"}
    assert set(errors(api.post("/projects", []))) == {""}
    assert problem(api.post("/projects", {"name": "A", "slug": "default"})) == (409, "slug_in_use")
    assert problem(api.delete("/projects/default")) == (409, "project_in_use")
    assert problem(api.patch("/projects/default", {"archived": True})) == (409, "project_in_use")
    assert set(errors(api.patch("/projects/default", {"slug": "other"}))) == {"slug"}
    assert Project.objects.count() == before


def test_the_list_of_projects_is_paged_and_filtered(api: Api, owner: Any) -> None:
    for number in range(5):
        projects.create_project(name=f"P{number}", actor=owner.actor, at=AT)
    projects.archive_project(project_id=selectors.get_project("p0").id, actor=owner.actor, at=AT)
    Project.objects.filter(is_default=True).update(created_at=AT - timedelta(days=1))
    seen, cursor = [], ""
    while True:
        page = api.get(f"/projects?limit=2{cursor}").json()
        seen += [row["slug"] for row in page["results"]]
        if page["next"] is None:
            break
        api.post("/projects", {"name": "Meanwhile"})
        cursor = f"&cursor={page['next']}"
    assert seen == ["p4", "p3", "p2", "p1", "default"]
    assert [r["slug"] for r in api.get("/projects?archived=true").json()["results"]] == ["p0"]
    assert len(api.get("/projects?archived=all&q=p").json()["results"]) == 5
    for query in ("limit=0", "limit=x", "archived=maybe", "q=a&q=b", "q=%00", "archive=true"):
        assert problem(api.get(f"/projects?{query}"))[0] == 422
    for query in ("cursor=", "cursor=x", "cursor=W10"):
        assert problem(api.get(f"/projects?{query}")) == (400, "bad_request")


def test_members_are_seen_promoted_and_removed(api: Api, somebody: Any) -> None:
    who = somebody("viewer", name="Vera Viewer")
    ref = public_id("mem", who.member_id)
    assert api.get(f"/members/{ref}").json()["role"] == "viewer"
    assert [r["id"] for r in api.get("/members?q=vera").json()["results"]] == [ref]
    assert [r["id"] for r in api.get("/members?role=viewer").json()["results"]] == [ref]

    assert api.patch(f"/members/{ref}", {"role": "admin"}).json()["role"] == "admin"
    assert set(errors(api.patch(f"/members/{ref}", {"role": "emperor"}))) == {"role"}
    assert api.delete(f"/members/{ref}").status_code == 204
    assert problem(api.delete(f"/members/{ref}")) == (404, "not_found")
    assert api.get(f"/members/{ref}").json()["left_at"] is not None
    assert ref not in str(api.get("/members").json())
    assert ref in str(api.get("/members?left=true").json())


def test_the_last_owner_stays(api: Api, owner: Any) -> None:
    ref = public_id("mem", owner.member_id)
    assert problem(api.patch(f"/members/{ref}", {"role": "viewer"})) == (409, "last_owner")
    assert problem(api.delete(f"/members/{ref}")) == (403, "permission_denied")  # only in person
    assert Member.objects.get(id=owner.member_id).left_at is None


def test_an_admin_cannot_make_an_owner(api_as: Any, somebody: Any) -> None:
    admin, who = api_as("admin"), somebody("viewer")
    path = f"/members/{public_id('mem', who.member_id)}"
    assert problem(admin.patch(path, {"role": "owner"})) == (403, "beyond_own_power")
    assert admin.get(path).json()["role"] == "viewer"
    assert admin.patch(path, {"role": "member"}).status_code == 200


def test_roles_come_with_their_permissions(api: Api) -> None:
    roles = api.get("/roles").json()["results"]
    assert [role["slug"] for role in roles] == ["owner", "admin", "member", "viewer"]
    assert (roles[0]["members"], roles[3]["built_in"]) == (1, True)
    assert "projects.view" in roles[3]["permissions"]
    assert "projects.edit" not in roles[3]["permissions"]
    page = api.get("/roles?limit=3").json()
    assert len(api.get(f"/roles?cursor={page['next']}").json()["results"]) == 1


def test_an_invitation_is_sent_listed_sent_again_and_taken_back(
    api: Api, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = api.post("/invitations", {"email": "New@x.example", "role": "member"})
    assert made.status_code == 201
    ref = made.json()["id"]
    assert (made.json()["email"], made.json()["state"]) == ("new@x.example", "pending")
    assert [message.to for message in mail.outbox] == [["new@x.example"]]
    assert api.get(f"/invitations/{ref}").json()["sent_at"] is not None
    assert [r["id"] for r in api.get("/invitations?state=pending").json()["results"]] == [ref]

    with django_capture_on_commit_callbacks(execute=True):
        assert api.post(f"/invitations/{ref}/resend").status_code == 200
    assert len(mail.outbox) == 2
    again = api.post("/invitations", {"email": "new@x.example", "role": "viewer"})
    assert problem(again) == (409, "already_invited")
    assert api.delete(f"/invitations/{ref}").status_code == 204
    assert problem(api.delete(f"/invitations/{ref}")) == (409, "invitation_closed")
    assert problem(api.post(f"/invitations/{ref}/resend")) == (409, "invitation_closed")
    assert api.get("/invitations?state=pending").json()["results"] == []
    assert set(errors(api.post("/invitations", {"email": "no", "role": "member"}))) == {"email"}
    mine = api.post("/invitations", {"email": "owner@acme.example", "role": "member"})
    assert problem(mine) == (409, "already_member")


def test_a_key_is_shown_once_used_replaced_and_revoked(api: Api) -> None:
    made = api.post("/keys", {"name": "CI", "scopes": ["projects.view"]})
    assert made.status_code == 201
    token, ref = made.json()["token"], made.json()["id"]
    assert "token" not in api.get(f"/keys/{ref}").json()
    assert token not in api.get("/keys").content.decode()

    ci = Api(token)
    assert ci.get("/me").json()["permissions"] == ["projects.view"]
    assert ci.get("/projects").status_code == 200
    assert problem(ci.get("/members")) == (403, "permission_denied")

    new = api.post(f"/keys/{ref}/rotate", {"grace_seconds": 60})
    assert new.status_code == 201
    assert new.json()["rotated_from"] == ref
    assert api.get(f"/keys/{ref}").json()["status"] == "replaced"
    assert ci.get("/me").status_code == 200
    assert problem(api.post(f"/keys/{ref}/rotate")) == (409, "key_inactive")
    assert api.delete(f"/keys/{ref}").status_code == 204
    assert problem(ci.get("/me")) == (401, "unauthenticated")
    assert Api(new.json()["token"]).get("/me").status_code == 200
    assert api.get(f"/keys/{ref}").json()["status"] == "revoked"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "K", "scopes": ["world.rule"]}, "scopes.0"),
        ({"name": "K", "scopes": "*"}, "scopes"),
        ({"name": "K", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "K", "expires_at": "2101-01-01T00:00:00"}, "expires_at"),
        ({"name": "K", "expires_at": 5}, "expires_at"),
    ],
)
def test_what_a_key_may_not_be(api: Api, body: Any, field: str) -> None:
    assert set(errors(api.post("/keys", body))) == {field}
    assert len(api.get("/keys").json()["results"]) == 1


@pytest.mark.parametrize("grace", [-1, 604801, "60", 1.5, True, None])
def test_a_grace_out_of_bounds_is_refused(api: Api, grace: Any) -> None:
    ref = api.post("/keys", {"name": "K"}).json()["id"]
    assert set(errors(api.post(f"/keys/{ref}/rotate", {"grace_seconds": grace}))) == {
        "grace_seconds"
    }
    assert api.get(f"/keys/{ref}").json()["status"] == "active"


@pytest.mark.parametrize(("number", "status"), [("1e999", 422), ("-1e999", 422), ("6e1", 201)])
def test_a_whole_number_is_finite(api: Api, number: str, status: int) -> None:
    """Python reads 1e999 as infinite, which no integer is."""
    ref = api.post("/keys", {"name": "K"}).json()["id"]
    answer = api.client.post(
        f"/v1/keys/{ref}/rotate",
        f'{{"grace_seconds": {number}}}',
        content_type="application/json",
        HTTP_HOST=api.host,
        headers={"Authorization": f"Bearer {api.token}"},
    )
    assert answer.status_code == status
    assert status == 201 or set(errors(answer)) == {"grace_seconds"}


def test_empty_scopes_mean_all_of_the_role(api: Api) -> None:
    for body in ({"name": "A"}, {"name": "A", "scopes": []}, {"name": "A", "scopes": ["*"]}):
        assert api.post("/keys", body).json()["scopes"] == ["*"]


def test_errors_of_the_protocol_are_problems_too(api: Api) -> None:
    assert problem(api.get("/nothing")) == (404, "not_found")
    assert problem(api("PUT", "/me")) == (405, "method_not_allowed")
    assert problem(api.patch("/projects")) == (405, "method_not_allowed")
    assert problem(api.get("/me", Accept="text/html")) == (406, "not_acceptable")
    form = api.client.post(
        "/v1/projects",
        {"name": "A"},
        HTTP_HOST=api.host,
        headers={"Authorization": f"Bearer {api.token}"},
    )
    assert problem(form) == (415, "unsupported_media_type")
    broken = api.client.generic(
        "POST",
        "/v1/projects",
        "{",
        content_type="application/json",
        HTTP_HOST=api.host,
        headers={"Authorization": f"Bearer {api.token}"},
    )
    assert problem(broken) == (400, "bad_request")


def test_an_answer_that_the_description_lacks_is_noticed(api: Api) -> None:
    answer = api.get("/me")
    assert is_described("GET", answer)
    answer.status_code = 418
    assert not is_described("GET", answer)


def test_ids_of_another_org_are_not_found(api: Api, other_org: Any) -> None:
    from apps.tenants import keys
    from tests.orgs.conftest import join

    stranger = join(other_org, "member")
    with keys.holding(other_org.schema, other_org.id):
        owner = owner_of(other_org)
        project = projects.create_project(name="Theirs", actor=owner.actor, at=AT)
        invitation = invitations.invite(email="a@b.example", role="member", by=owner, at=AT)
    for path in (
        f"/projects/{public_id('prj', project.id)}",
        "/projects/theirs",
        f"/members/{public_id('mem', stranger.member_id)}",
        f"/invitations/{public_id('inv', invitation.id)}",
    ):
        assert problem(api.get(path)) == (404, "not_found")
        assert problem(api.delete(path)) == (404, "not_found")
    with keys.holding(other_org.schema, other_org.id):
        assert Project.objects.filter(id=project.id).exists()
        assert Invitation.objects.get(id=invitation.id).state == "pending"


# One for the key, one for the rows, whatever their number.
@pytest.mark.parametrize("path", ["/projects", "/members", "/roles", "/invitations", "/keys"])
def test_a_list_costs_two_queries(api: Api, owner: Any, somebody: Any, path: str) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status_code == 200
        return len(queries)

    api.get("/me")
    before = count()
    for number in range(4):
        projects.create_project(name="More", actor=owner.actor, at=AT)
        somebody("member")
        invitations.invite(email=f"g{number}@x.example", role="viewer", by=owner, at=AT)
        api.post("/keys", {"name": "More"})
    assert (before, count()) == (2, 2)
