"""Thumbs up and down: by the API and on the page, one for each who thinks something."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.common.ids import public_id
from apps.orgs.services import roles
from apps.runs.models import Feedback
from apps.tenants import keys
from tests.agents.factories import errors
from tests.orgs.conftest import AT, Api, join, owner_of, problem, token_for
from tests.runs.factories import admit, make_agent
from tests.runs.speaking import make_echo, say
from tests.tenants.browsing import as_member, is_page


@pytest.fixture
def run(api: Api, org: Any, scripts: Any) -> str:
    make_echo(scripts)
    return str(say(api)["id"])


def test_each_has_one_opinion_and_may_change_it(api: Api, api_as: Any, run: str) -> None:
    path, other = f"/runs/{run}/feedback", api_as("member")
    first = api("PUT", path, {"rating": "up", "comment": "Good."})
    assert first.status_code == 200
    assert (first.json()["rating"], first.json()["comment"]) == ("up", "Good.")
    assert first.json()["by"]["id"] == api.get("/me").json()["principal"]["id"]
    assert other("PUT", path, {"rating": "down"}).json()["comment"] == ""
    again = api("PUT", path, {"rating": "down", "comment": "Second thoughts."}).json()
    assert again["created_at"] == first.json()["created_at"] != again["updated_at"]

    found = api.get(path).json()
    assert (found["up"], found["down"], found["own"]) == (0, 2, again)
    assert [one["comment"] for one in found["latest"]] == ["Second thoughts.", ""]
    assert other.get(path).json()["own"]["rating"] == "down"

    assert other.delete(path).status_code == 204
    assert problem(other.delete(path)) == (404, "not_found")
    after = api.get(path).json()
    assert (after["up"], after["down"], after["latest"]) == (0, 1, [again])
    assert other.get(path).json()["own"] is None


def test_each_change_is_on_record_without_the_comment(api: Api, run: str, events: Any) -> None:
    path = f"/runs/{run}/feedback"
    for rating, comment in (("up", "Good."), ("up", "Good."), ("down", "")):
        assert api("PUT", path, {"rating": rating, "comment": comment}).status_code == 200
    assert api.delete(path).status_code == 204
    assert problem(api.delete(path)) == (404, "not_found")
    assert problem(api("PUT", path, {"rating": "odd"})) == (422, "invalid")

    good = {"rating": "up", "has_comment": True}
    bad = {"rating": "down", "has_comment": False}
    assert events() == [
        ("runs.feedback.given", run, {"new": good}),
        ("runs.feedback.changed", run, {"old": good, "new": bad}),
        ("runs.feedback.taken_back", run, {"old": bad}),
    ]


def test_who_may_only_look_gives_none(api: Api, api_as: Any, run: str) -> None:
    path, viewer = f"/runs/{run}/feedback", api_as("viewer")
    assert problem(viewer("PUT", path, {"rating": "up"})) == (403, "permission_denied")
    assert problem(viewer.delete(path)) == (403, "permission_denied")
    assert viewer.get(path).json() == {"up": 0, "down": 0, "own": None, "latest": []}
    assert not Feedback.objects.exists()
    assert api("PUT", path, {"rating": "up"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rating"),
        ({"rating": "sideways"}, "rating"),
        ({"rating": "up", "comment": 5}, "comment"),
        ({"rating": "up", "comment": "x" * 2001}, "comment"),
        ({"rating": "up", "stars": 5}, "stars"),
    ],
)
def test_what_cannot_be_read_is_told(api: Api, run: str, body: Any, field: str) -> None:
    assert set(errors(api("PUT", f"/runs/{run}/feedback", body))) == {field}
    assert not Feedback.objects.exists()


def test_another_orgs_run_takes_no_feedback(api: Api, run: str, other_org: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = public_id("run", admit(make_agent("echo")).run_id)
    for method, body in (("GET", None), ("PUT", {"rating": "up"}), ("DELETE", None)):
        assert problem(api(method, f"/runs/{theirs}/feedback", body)) == (404, "not_found")
    with keys.holding(other_org.schema, other_org.id):
        assert not Feedback.objects.exists()


def test_a_page_takes_feedback_with_scripts_and_without(org: Any, owner: Any, run: str) -> None:
    browser = as_member(org, owner)
    page, url = f"/runs/{run}/", f"/runs/{run}/feedback/"
    assert b"0 up, 0 down" in browser.get(page).content

    plain = browser.post(url, {"rating": "up", "comment": "Well <done>"})
    assert (plain.status_code, plain["Location"]) == (303, page)
    shown = browser.get(page)
    assert b"1 up, 0 down" in shown.content and b"Well &lt;done&gt;" in shown.content
    assert b"Take it back" in shown.content

    part = browser.post(url, {"rating": "down", "comment": ""}, HX_Request="true")
    assert part.status_code == 200 and b"<html" not in part.content
    assert b"0 up, 1 down" in part.content
    own = Feedback.objects.get()
    assert (own.rating, own.comment, own.by_id) == ("down", "", owner.actor.id)

    refused = browser.post(url, {"rating": "maybe"}, HX_Request="true")
    assert refused.status_code == 422 and b"<html" not in refused.content
    assert browser.post(url, {}).status_code == 422 and is_page(browser.post(url, {}))
    assert Feedback.objects.get().rating == "down"

    gone = browser.post(f"{url}remove/", HX_Request="true")
    assert b"0 up, 0 down" in gone.content and not Feedback.objects.exists()
    assert browser.post(f"{url}remove/").status_code == 404


def test_a_viewer_sees_feedback_and_no_form(org: Any, somebody: Any, api: Api, run: str) -> None:
    api("PUT", f"/runs/{run}/feedback", {"rating": "up", "comment": "Fine."})
    page = as_member(org, somebody("viewer")).get(f"/runs/{run}/").content
    assert b"Fine." in page and b'id="feedback-form"' not in page


def test_who_may_not_see_runs_sees_no_feedback_either(
    org: Any, owner: Any, api: Api, run: str
) -> None:
    api("PUT", f"/runs/{run}/feedback", {"rating": "up", "comment": "Fine."})
    doing = ["agents.invoke", "agents.view"]
    blind = roles.create_role(name="Blind", permissions=doing, by=owner, at=AT)
    browser = as_member(org, join(org, blind.slug))
    url = f"/runs/{run}/feedback/"
    for path, sent in ((url, {"rating": "down"}), (url, {}), (f"{url}remove/", {})):
        answer = browser.post(path, sent, HX_Request="true")
        assert answer.status_code == 403 and b"Fine." not in answer.content
    assert Feedback.objects.get().rating == "up"


def test_an_agents_own_key_speaks_as_the_agent(api: Api, org: Any, run: str) -> None:
    make_agent("critic")
    speaker = Api(token_for(org, owner_of(org), agent="critic"))
    given = speaker("PUT", f"/runs/{run}/feedback", {"rating": "up"}).json()
    assert given["by"]["type"] == "agent"
    assert api.get(f"/runs/{run}/feedback").json()["own"] is None
    assert timezone.now() >= Feedback.objects.get().created_at


def test_an_agent_does_not_judge_its_own_work(org: Any, run: str, events: Any) -> None:
    itself = Api(token_for(org, owner_of(org), agent="echo"))
    refused = itself("PUT", f"/runs/{run}/feedback", {"rating": "up"})
    assert problem(refused) == (403, "own_work")
    assert not Feedback.objects.exists()
    assert not [action for action, *_ in events() if action.startswith("runs.feedback")]
    assert itself.get(f"/runs/{run}/feedback").json()["own"] is None
