"""`/v1/notices`, `/v1/channels`, `/v1/notification-preferences`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.common.ids import public_id
from apps.notify.models import Channel, Delivery, Notice
from apps.notify.services.telling import Audience
from tests.notify.conftest import ALARM, NEWS, said
from tests.orgs.conftest import AT, Api, owner_of, problem, token_for

URL = "https://hooks.acme.example/in/0123456789abcdef"
WEBHOOK = {"name": "Endpoint", "service": "webhook", "url": URL}


@pytest.fixture
def api(org: Any) -> Api:
    return Api(token_for(org, owner_of(org)))


@pytest.fixture
def api_as(org: Any, somebody: Any) -> Callable[..., Api]:
    return lambda role, **scopes: Api(token_for(org, somebody(role), **scopes))


def test_notices_are_listed_and_read(owner: Any, somebody: Any, api: Api) -> None:
    said(Audience(members=(owner.member_id, somebody().member_id)))
    (row,) = api.get("/notices").json()["results"]
    notice = Notice.objects.get(member_id=owner.member_id)
    assert {**row, "created_at": None} == {
        "id": public_id("ntc", notice.id),
        "kind": NEWS.code,
        "title": "The thing is there",
        "body": "It came by night.",
        "url": "http://acme.localhost:8000/things/1/",
        "subject": {"type": "thing", "id": "thg_1"},
        "created_at": None,
        "read_at": None,
    }

    read = api.post(f"/notices/{row['id']}/read").json()

    assert read["read_at"] is not None
    assert api.get("/notices?unread=true").json()["results"] == []
    assert len(api.get("/notices").json()["results"]) == 1


def test_all_are_read_at_once(owner: Any, api: Api) -> None:
    for _ in range(3):
        said(Audience(members=(owner.member_id,)))
    assert api.post("/notices/read").json() == {"read": 3}
    assert api.post("/notices/read").json() == {"read": 0}


def test_a_list_of_notices_is_turned_page_by_page(owner: Any, api: Api) -> None:
    for n in range(3):
        said(Audience(members=(owner.member_id,)), title=f"Thing {n}")
    first = api.get("/notices?limit=2").json()
    rest = api.get(f"/notices?limit=2&cursor={first['next']}").json()
    titles = [row["title"] for row in first["results"] + rest["results"]]
    assert titles == ["Thing 2", "Thing 1", "Thing 0"] and rest["next"] is None


def test_a_keys_scopes_count(api_as: Callable[..., Api]) -> None:
    narrow = api_as("admin", scopes=["projects.view"])
    assert problem(narrow.get("/notices")) == (403, "permission_denied")
    own = api_as("admin", scopes=["notices.own"])
    assert own.get("/notices").status_code == 200
    assert problem(own.post("/channels", {**WEBHOOK, "scope": "org"}))[0] == 403
    assert own.post("/channels", WEBHOOK).status_code == 201


def test_preferences_change_what_is_named_and_nothing_else(api: Api) -> None:
    before = api.get("/notification-preferences").json()
    assert before["digest"] == "off"
    chosen = {"kind": NEWS.code, "bell": True}

    after = api.patch("/notification-preferences", {"digest": "daily", "kinds": [chosen]}).json()

    assert after["digest"] == "daily"
    changed = [row for row in after["kinds"] if row not in before["kinds"]]
    assert changed == [
        {**chosen, "label": NEWS.label, "email": False, "channels": False, "always": False}
    ]
    assert api.patch("/notification-preferences", {}).json() == after


@pytest.mark.parametrize(
    "body",
    [
        {"digest": "monthly"},
        {"kinds": [{"kind": "tests.nothing.known"}]},
        {"kinds": [{"kind": NEWS.code, "bell": "yes"}]},
        {"kinds": [{"kind": ALARM.code, "bell": False, "email": True}]},
        {"rhythm": "daily"},
    ],
)
def test_preferences_that_there_are_not_are_refused(api: Api, body: Any) -> None:
    before = api.get("/notification-preferences").json()
    assert problem(api.patch("/notification-preferences", body)) == (422, "invalid")
    assert api.get("/notification-preferences").json() == before


def test_a_channel_lives_its_life(api: Api) -> None:
    made = api.post("/channels", {**WEBHOOK, "kinds": [NEWS.code]})
    assert made.status_code == 201
    body = made.json()
    assert body["signing_secret"].startswith("whsec_") and URL not in made.content.decode()
    path = f"/channels/{body['id']}"
    found = api.get(path).json()
    assert found == {name: value for name, value in body.items() if name != "signing_secret"}
    assert (found["scope"], found["hint"], found["kinds"]) == ("own", "cdef", [NEWS.code])

    assert api.patch(path, {"name": "B", "paused": True}).json()["state"] == "paused"
    assert problem(api.post(f"{path}/test")) == (409, "channel_paused")
    assert api.patch(path, {"paused": False}).json()["state"] == "active"
    tried = api.post(f"{path}/test")
    assert (tried.status_code, tried.json()["state"]) == (202, "owed")
    (listed,) = api.get(f"{path}/deliveries").json()["results"]
    assert listed == tried.json()

    assert api.delete(path).status_code == 204
    assert problem(api.get(path)) == (404, "not_found")
    assert not Channel.objects.exists() and not Delivery.objects.exists()


def test_the_same_key_makes_one_channel_and_gives_its_secret_again(api: Api) -> None:
    first = api.post("/channels", WEBHOOK, Idempotency_Key="k1")
    again = api.post("/channels", WEBHOOK, Idempotency_Key="k1")
    assert first.json() == again.json() and Channel.objects.count() == 1


def test_whose_channels_are_listed(api: Api, api_as: Callable[..., Api]) -> None:
    api.post("/channels", {**WEBHOOK, "scope": "org"})
    api.post("/channels", WEBHOOK)
    assert len(api.get("/channels").json()["results"]) == 2
    for scope in ("own", "org"):
        (row,) = api.get(f"/channels?scope={scope}").json()["results"]
        assert row["scope"] == scope
    member = api_as("member")
    assert member.get("/channels").json()["results"] == []
    assert problem(member.post("/channels", {**WEBHOOK, "scope": "org"}))[0] == 403
    assert Channel.objects.count() == 2


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "http://hooks.acme.example/"}, "url"),
        ({"service": "slack"}, "url"),
        ({"service": "irc"}, "service"),
        ({"kinds": ["tests.nothing.known"]}, "kinds"),
        ({"scope": "everybody"}, "scope"),
        ({"secret": "whsec_AAAA"}, "secret"),
    ],
)
def test_what_makes_no_channel_is_refused_at_its_field(
    api: Api, more: dict[str, Any], field: str
) -> None:
    answer = api.post("/channels", {**WEBHOOK, **more})
    assert problem(answer) == (422, "invalid")
    assert {error["field"].partition(".")[0] for error in answer.json()["errors"]} == {field}
    assert not Channel.objects.exists()


def test_a_notice_of_another_member_is_not_found(owner: Any, api_as: Callable[..., Api]) -> None:
    said(Audience(members=(owner.member_id,)), at=AT)
    notice = Notice.objects.get()
    assert problem(api_as("admin").post(f"/notices/{public_id('ntc', notice.id)}/read"))[0] == 404
    notice.refresh_from_db()
    assert notice.read_at is None
