"""Saved views: filters of the list of runs under names, one's own and everybody's."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.errors import PermissionDenied
from apps.common.ids import parse_id, public_id
from apps.runs.models import SavedView
from apps.runs.services import views
from apps.runs.services.views import OWN_MAX, create_view
from apps.tenants import keys
from tests.orgs.conftest import AT, Api, owner_of, problem, token_for
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import Browser, as_member, is_page, is_part

FAILED = {"status": "failed"}


def names(browser: Browser, path: str = "/runs/views/") -> list[str]:
    return [view["name"] for view in browser.get(path).context["views"]]


# On pages


def test_a_filter_is_saved_and_stands_above_the_list(
    browser: Browser, scripts: Any, events: Any
) -> None:
    admit(make_agent("echo"))
    page = browser.get("/runs/?status=failed&range=7d&sort=started")
    assert b"Save this view" in page.content
    for name, value in (("status", "failed"), ("range", "7d"), ("sort", "started")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in page.content.decode()
    assert b"Save this view" not in browser.get("/runs/").content  # there is no filter to save

    sent = {"name": " Failures ", "status": "failed", "range": "7d", "sort": "started", "from": ""}
    answer = browser.post("/runs/views/", sent)

    address = "/runs/?status=failed&range=7d&sort=started"
    assert (answer.status_code, answer["Location"]) == (303, address)
    view = SavedView.objects.get()
    assert view.query == {"status": "failed", "range": "7d", "sort": "started"}
    assert (view.name, view.is_shared, events()) == ("Failures", False, [])
    shown = browser.get(address)
    found = [{"name": "Failures", "is_shared": False, "url": address, "is_current": True}]
    assert shown.context["views"] == found and b"Save this view" not in shown.content
    assert b'aria-current="page"><span class="trunc">Failures' in b"".join(
        shown.content.split(b"\n")
    )


def test_the_list_of_views_is_a_page_and_a_part_and_may_be_empty(browser: Browser) -> None:
    assert b"No saved view yet" in browser.get("/runs/views/").content
    browser.post("/runs/views/", {"name": "Mine", **FAILED})
    page, part = browser.get("/runs/views/"), browser.part("/runs/views/")
    assert is_page(page) and is_part(part)
    for answer in (page, part):
        assert b"Mine" in answer.content and b"status failed" in answer.content


def test_a_view_that_cannot_be_saved_is_explained(browser: Browser) -> None:
    browser.post("/runs/views/", {"name": "Mine", **FAILED})
    for sent, said in (
        ({"name": "Mine", "status": "denied"}, "another view of yours"),
        ({"name": "", **FAILED}, "This field is required"),
        ({"name": "Nothing"}, "There is no filter to save"),
        ({"name": "Odd", "status": "odd"}, "There is no filter to save"),
    ):
        answer = browser.post("/runs/views/", sent)
        assert answer.status_code == 422 and is_page(answer), sent
        assert said in answer.content.decode()
    refused = browser.post("/runs/views/", {"name": "Mine", "status": "denied"}).content
    assert b'<input type="hidden" name="status" value="denied">' in refused
    assert SavedView.objects.count() == 1


def test_a_view_is_renamed_shared_and_deleted(browser: Browser, events: Any) -> None:
    browser.post("/runs/views/", {"name": "Mine", **FAILED})
    ref = public_id("viw", SavedView.objects.get().id)
    page, part = browser.get(f"/runs/views/{ref}/"), browser.part(f"/runs/views/{ref}/")
    assert is_page(page) and is_part(part) and b'value="Mine"' in part.content

    renamed = browser.post(f"/runs/views/{ref}/", {"name": "Failures"})
    assert (renamed.status_code, names(browser), events()) == (303, ["Failures"], [])
    browser.post(f"/runs/views/{ref}/", {"name": "Failures", "is_shared": "on"})
    assert browser.post(f"/runs/views/{ref}/", {"name": ""}).status_code == 422
    gone = browser.post(f"/runs/views/{ref}/delete/")

    assert (gone.status_code, gone["Location"], names(browser)) == (303, "/runs/views/", [])
    facts = {"name": "Failures", "filter": FAILED}
    own, shared = {**facts, "is_shared": False}, {**facts, "is_shared": True}
    assert events() == [
        ("runs.view.changed", ref, {"old": own, "new": shared}),
        ("runs.view.deleted", ref, {"old": shared}),
    ]
    assert browser.get(f"/runs/views/{ref}/").status_code == 404


def test_a_view_of_ones_own_is_there_for_nobody_else(
    org: Any, browser: Browser, somebody: Any
) -> None:
    browser.post("/runs/views/", {"name": "Mine", **FAILED})
    ref = public_id("viw", SavedView.objects.get().id)
    other = as_member(org, somebody("admin"))
    assert names(other) == names(other, "/runs/") == []
    assert other.get(f"/runs/views/{ref}/").status_code == 404
    assert other.post(f"/runs/views/{ref}/", {"name": "Theirs"}).status_code == 404
    assert other.post(f"/runs/views/{ref}/delete/").status_code == 404
    assert names(browser) == ["Mine"]
    assert other.post("/runs/views/", {"name": "Mine", **FAILED}).status_code == 303  # of their own


def test_a_viewer_uses_shared_views_and_changes_only_their_own(
    org: Any, browser: Browser, somebody: Any
) -> None:
    browser.post("/runs/views/", {"name": "Ours", "is_shared": "on", **FAILED})
    ref = public_id("viw", SavedView.objects.get().id)
    viewer = as_member(org, somebody("viewer"))

    page = viewer.get("/runs/views/")
    assert b"Ours" in page.content and b"Needs projects.edit" in page.content
    assert b'name="is_shared"' not in viewer.get("/runs/?status=denied").content
    assert viewer.get(f"/runs/views/{ref}/").status_code == 403
    assert viewer.post(f"/runs/views/{ref}/", {"name": "Theirs"}).status_code == 403
    assert viewer.post(f"/runs/views/{ref}/delete/").status_code == 403
    assert names(browser) == ["Ours"]
    viewer.post("/runs/views/", {"name": "Mine", "is_shared": "on", **FAILED})
    assert SavedView.objects.get(name="Mine").is_shared is False  # they may not share
    member = as_member(org, somebody("member"))
    assert member.post(f"/runs/views/{ref}/", {"name": "Theirs"}).status_code == 303


def test_a_foreign_view_does_not_exist(browser: Browser, other_org: Any) -> None:
    theirs = owner_of(other_org)
    with keys.holding(other_org.schema, other_org.id):
        view = create_view(name="Theirs", query=FAILED, is_shared=True, by=theirs, at=AT)
    ref = public_id("viw", view.id)
    assert names(browser) == [] and browser.get(f"/runs/views/{ref}/").status_code == 404
    assert browser.post(f"/runs/views/{ref}/delete/").status_code == 404
    assert names(as_member(other_org, theirs)) == ["Theirs"]


# By the API


def test_the_api_keeps_views_of_a_member_whichever_key_asks(
    api: Api, org: Any, owner: Any, browser: Browser
) -> None:
    made = api.post("/runs/views", {"name": "Failures", "filter": {**FAILED, "range": "24h"}})
    assert made.status_code == 201
    view = made.json()
    assert view["filter"] == {"status": "failed", "range": "24h"}
    assert view["owner"]["id"] == public_id("mem", owner.member_id)
    again = Api(token_for(org, owner))
    assert again.get("/runs/views").json() == {"results": [view], "next": None}
    assert again.get(f"/runs/views/{view['id']}").json() == view
    assert names(browser) == ["Failures"]

    changed = api.patch(f"/runs/views/{view['id']}", {"filter": {"from": "2026-01-31"}})
    assert (changed.status_code, changed.json()["filter"]) == (200, {"from": "2026-01-31"})
    assert changed.json()["name"] == "Failures"
    assert api.delete(f"/runs/views/{view['id']}").status_code == 204
    assert problem(api.get(f"/runs/views/{view['id']}")) == (404, "not_found")


def test_the_api_says_what_it_cannot_keep(api: Api) -> None:
    for body in (
        {"name": "x", "filter": {"status": "odd"}},
        {"name": "x", "filter": {"colour": "red"}},
        {"name": " ", "filter": FAILED},
        {"name": "x"},
        {"filter": FAILED},
    ):
        assert problem(api.post("/runs/views", body)) == (422, "invalid"), body
    assert api.post("/runs/views", {"name": "x", "filter": FAILED}).status_code == 201
    taken = api.post("/runs/views", {"name": "x", "filter": FAILED})
    assert problem(taken) == (409, "view_name_in_use")
    other = api.post("/runs/views", {"name": "y", "filter": FAILED}).json()
    taken = api.patch(f"/runs/views/{other['id']}", {"name": "x"})
    assert problem(taken) == (409, "view_name_in_use")
    assert taken.json()["detail"] == "“x” is the name of another view of yours."
    shared = {"name": "y", "filter": FAILED, "is_shared": True}
    assert api.post("/runs/views", shared).status_code == 201
    taken = api.patch(f"/runs/views/{other['id']}", {"is_shared": True})
    assert taken.json()["detail"] == "“y” is the name of another shared view."
    assert SavedView.objects.get(id=parse_id("viw", other["id"])).name == "y"


def test_a_view_that_is_no_longer_shared_is_theirs_who_took_it(api: Api, api_as: Any) -> None:
    view = api.post("/runs/views", {"name": "Ours", "filter": FAILED, "is_shared": True}).json()
    member = api_as("member")
    taken = member.patch(f"/runs/views/{view['id']}", {"is_shared": False})
    assert taken.status_code == 200 and taken.json()["owner"] != view["owner"]
    assert problem(api.get(f"/runs/views/{view['id']}")) == (404, "not_found")
    assert member.get(f"/runs/views/{view['id']}").status_code == 200


def test_a_viewers_key_shares_nothing(api_as: Any, events: Any) -> None:
    viewer = api_as("viewer")
    body = {"name": "Ours", "filter": FAILED, "is_shared": True}
    assert problem(viewer.post("/runs/views", body)) == (403, "permission_denied")
    own = viewer.post("/runs/views", {**body, "is_shared": False}).json()
    refused = viewer.patch(f"/runs/views/{own['id']}", {"is_shared": True})
    assert problem(refused) == (403, "permission_denied")
    assert SavedView.objects.get().is_shared is False
    assert [event for event in events() if event[0].startswith("runs.")] == []


def test_an_agents_own_key_has_views_of_its_own(api: Api, org: Any, owner: Any) -> None:
    make_agent("caller")
    agent = Api(token_for(org, owner, agent="caller"))
    assert agent.post("/runs/views", {"name": "Its", "filter": FAILED}).status_code == 201
    assert api.get("/runs/views").json()["results"] == []
    assert [view["name"] for view in agent.get("/runs/views").json()["results"]] == ["Its"]


# The service


def test_there_are_only_so_many(owner: Any, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SHARED_MAX", 1)
    for n in range(OWN_MAX):
        create_view(name=f"View {n}", query=FAILED, by=owner, at=AT)
    full = api.post("/runs/views", {"name": "One more", "filter": FAILED})
    assert problem(full) == (409, "too_many_views")
    shared = {"name": "Ours", "filter": FAILED, "is_shared": True}
    made = api.post("/runs/views", shared)
    assert made.status_code == 201
    assert problem(api.post("/runs/views", {**shared, "name": "B"})) == (409, "too_many_views")
    back = api.patch(f"/runs/views/{made.json()['id']}", {"is_shared": False})
    assert problem(back) == (409, "too_many_views")
    assert SavedView.objects.count() == OWN_MAX + 1


def test_sharing_is_refused_by_the_service_too(somebody: Any) -> None:
    with pytest.raises(PermissionDenied, match="projects.edit"):
        create_view(name="x", query=FAILED, is_shared=True, by=somebody("viewer"), at=AT)
    assert not SavedView.objects.exists()
