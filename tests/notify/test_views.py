"""The bell, the inbox, what reaches a member and channels, in the browser."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.common.ids import public_id
from apps.notify.models import Channel, Delivery, Notice
from apps.notify.selectors import find_digest, list_choices
from apps.notify.services import channels as services
from apps.notify.services.telling import Audience
from apps.orgs.services.roles import create_role
from apps.tenants import keys
from tests.markup import Element, elements
from tests.notify.conftest import ALARM, NEWS, said
from tests.orgs.conftest import AT, Api, join, owner_of, token_for
from tests.orgs.test_enforcement import Probe
from tests.tenants.browsing import Browser, as_member, is_part

URL = "https://hooks.acme.example/in/0123456789abcdef"


@pytest.fixture
def browser(org: Any, owner: Any) -> Browser:
    return as_member(org, owner)


def tell(who: Any, number: int = 1, **more: Any) -> list[Notice]:
    for n in range(number):
        said(Audience(members=(who.member_id,)), title=f"Thing {n}", **more)
    return list(Notice.objects.filter(member_id=who.member_id).order_by("id"))


def bell(answer: Any) -> Element:
    (found,) = (e for e in elements(answer.content.decode()) if e.get("id") == "bell")
    return found


def ref(notice: Notice) -> str:
    return public_id("ntc", notice.id)


# The bell -------------------------------------------------------------------------------------


def test_who_has_no_inbox_has_no_bell(org: Any, owner: Any) -> None:
    reader = create_role(name="Reader", permissions=["projects.view"], by=owner, at=AT)
    page = as_member(org, join(org, reader.slug)).get("/projects/").content.decode()
    assert not [e for e in elements(page) if e.get("id") == "bell"]


@pytest.mark.parametrize(("more", "is_shown"), [([], False), (["notices.own"], True)])
def test_the_tab_of_the_orgs_channels_is_for_who_may_open_it(
    org: Any, owner: Any, more: list[str], is_shown: bool
) -> None:
    may = ["roles.view", "notify.manage", *more]
    role = create_role(name="Keeper", permissions=may, by=owner, at=AT)
    browser = as_member(org, join(org, role.slug))
    page = browser.get("/settings/roles/").content.decode()
    assert ('href="/settings/notifications/"' in page) == is_shown
    status = browser.get("/settings/notifications/").status_code
    assert status == (200 if is_shown else 403)


@pytest.mark.parametrize(
    ("unread", "label", "mark"),
    [
        (0, "Notifications", None),
        (1, "Notifications, 1 unread", b">1</span>"),
        (9, "Notifications, 9 unread", b">9</span>"),
        (12, "Notifications, more than 9 unread", b">9+</span>"),
    ],
)
def test_every_page_has_the_bell_with_what_is_unread(
    owner: Any, browser: Browser, unread: int, label: str, mark: bytes | None
) -> None:
    tell(owner, unread)
    answer = browser.get("/projects/")
    assert bell(answer).get("aria-label") == label
    assert (b"bell-count" in answer.content) is (mark is not None)
    assert mark is None or mark in answer.content


def test_the_bell_asks_for_itself_and_costs_no_query_of_its_own(
    owner: Any, browser: Browser
) -> None:
    browser.get("/projects/")
    with CaptureQueriesContext(connection) as before:
        browser.get("/projects/")
    tell(owner, 12)
    with CaptureQueriesContext(connection) as after:
        answer = browser.get("/projects/?project=default")
    assert len(after) == len(before)

    asked = bell(answer).get("hx-get") or ""
    assert asked == "/notifications/?project=default&part=bell"
    part = browser.part(asked)
    assert is_part(part) and bell(part).get("aria-label") == "Notifications, more than 9 unread"
    assert b"<li" not in part.content
    assert b"<html" in browser.get(asked).content


def test_the_bell_counts_ones_own_only(owner: Any, somebody: Any, browser: Browser) -> None:
    tell(somebody(), 3)
    read = tell(owner, 1)
    Notice.objects.filter(id=read[0].id).update(read_at=AT)
    assert bell(browser.get("/")).get("aria-label") == "Notifications"


# The inbox ------------------------------------------------------------------------------------


def test_the_inbox_shows_ones_own_newest_first(owner: Any, somebody: Any, browser: Browser) -> None:
    tell(owner, 2)
    said(Audience(members=(somebody().member_id,)), title="Not mine")
    html = browser.get("/notifications/").content.decode()
    assert html.index("Thing 1") < html.index("Thing 0")
    assert "Not mine" not in html and NEWS.label in html and "It came by night." in html


def test_the_inbox_can_show_what_is_unread(owner: Any, browser: Browser) -> None:
    first, second = tell(owner, 2)
    Notice.objects.filter(id=second.id).update(read_at=AT)
    part = browser.part("/notifications/?status=unread")
    assert is_part(part)
    assert b"Thing 0" in part.content and b"Thing 1" not in part.content
    Notice.objects.filter(id=first.id).update(read_at=AT)
    assert b"Nothing unread" in browser.get("/notifications/?status=unread").content


def test_the_inbox_is_turned_page_by_page(owner: Any, browser: Browser) -> None:
    tell(owner, 60)
    page = browser.get("/notifications/?status=unread")
    assert page.content.count(b'class="notice unread"') == 50
    older = browser.get("/notifications/" + page.context["older_url"])
    assert older.content.count(b'class="notice unread"') == 10
    assert older.context["unread_only"] and older.context["older_url"] is None


def test_opening_a_notice_leads_to_its_subject_and_reads_it(owner: Any, browser: Browser) -> None:
    (notice,) = tell(owner)
    answer = browser.post(f"/notifications/{ref(notice)}/open/?project=default")
    assert (answer.status_code, answer["Location"]) == (303, "/things/1/?project=default")
    notice.refresh_from_db()
    first = notice.read_at
    assert first is not None
    browser.post(f"/notifications/{ref(notice)}/open/")
    notice.refresh_from_db()
    assert notice.read_at == first


def test_reading_one_changes_its_row_and_the_bell_in_place(owner: Any, browser: Browser) -> None:
    notice, _ = tell(owner, 2)
    url = f"/notifications/{ref(notice)}/read/"
    part = browser.post(url, HX_Request="true")
    found = elements(part.content.decode())
    (row,) = (e for e in found if e.tag == "li")
    assert row.get("id") == ref(notice) and "unread" not in row.classes
    assert bell(part).get("hx-swap-oob") == "true"
    assert bell(part).get("aria-label") == "Notifications, 1 unread"
    assert browser.post(url)["Location"] == "/notifications/"


def test_reading_all_leaves_others_alone(owner: Any, somebody: Any, browser: Browser) -> None:
    other = somebody()
    tell(owner, 3)
    tell(other)
    assert browser.post("/notifications/read/")["Location"] == "/notifications/"
    unread = Notice.objects.filter(read_at=None)
    assert {notice.member_id for notice in unread} == {other.member_id}
    assert b"Mark all as read" not in browser.get("/notifications/").content


@pytest.mark.parametrize("act", ["open", "read"])
def test_another_members_notice_is_not_found(somebody: Any, browser: Browser, act: str) -> None:
    (notice,) = tell(somebody())
    assert browser.post(f"/notifications/{ref(notice)}/{act}/").status_code == 404
    notice.refresh_from_db()
    assert notice.read_at is None


def test_what_a_notice_says_is_text(owner: Any, browser: Browser) -> None:
    said(Audience(members=(owner.member_id,)), title="<script>x</script>", body="<b>one</b>\ntwo")
    html = browser.get("/notifications/").content.decode()
    assert "<script>x" not in html and "&lt;script&gt;x&lt;/script&gt;" in html
    assert "&lt;b&gt;one&lt;/b&gt;<br>two" in html


# What reaches a member ------------------------------------------------------------------------


def test_preferences_show_what_counts_and_save_what_is_chosen(owner: Any, browser: Browser) -> None:
    page = browser.get("/notifications/settings/")
    boxes = {e.get("name"): e for e in elements(page.content.decode()) if e.tag == "input"}
    assert "checked" in boxes[f"{NEWS.code}:email"].attributes

    answer = browser.post(
        "/notifications/settings/", {"digest": "hourly", f"{NEWS.code}:bell": "on"}
    )

    assert answer.status_code == 303
    (choice,) = (c for c in list_choices(by=owner) if c.kind == NEWS)
    assert (choice.bell, choice.email, choice.channels) == (True, False, False)
    assert find_digest(by=owner) == "hourly"


def test_the_bell_of_what_everybody_has_to_hear_of_is_shown_and_stays_on(
    owner: Any, browser: Browser
) -> None:
    page = browser.get("/notifications/settings/")
    boxes = {e.get("name"): e.attributes for e in elements(page.content.decode())}
    assert {"checked", "disabled"} <= set(boxes[f"{ALARM.code}:bell"])
    assert "disabled" not in boxes[f"{ALARM.code}:email"]
    assert browser.post("/notifications/settings/", {"digest": "off"}).status_code == 303
    (choice,) = (c for c in list_choices(by=owner) if c.kind == ALARM)
    assert (choice.bell, choice.email, choice.channels) == (True, False, False)


def test_a_choice_that_there_is_not_is_refused(owner: Any, browser: Browser) -> None:
    answer = browser.post("/notifications/settings/", {"digest": "monthly"})
    assert answer.status_code == 422 and b"Select a valid choice" in answer.content
    assert find_digest(by=owner) == "off"


def test_a_test_notice_is_for_oneself(owner: Any, somebody: Any, browser: Browser) -> None:
    somebody("admin")
    assert browser.post("/notifications/settings/test/").status_code == 303
    assert [notice.member_id for notice in Notice.objects.all()] == [owner.member_id]
    assert bell(browser.get("/")).get("aria-label") == "Notifications, 1 unread"


# Channels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/notifications/channels/", "/settings/notifications/"])
def test_a_webhooks_secret_is_shown_once_and_its_address_never(browser: Browser, path: str) -> None:
    made = browser.post(path, {"name": "Endpoint", "service": "webhook", "url": URL})
    assert made.status_code == 200 and "no-store" in made["Cache-Control"]
    secret = made.context["secret"]
    assert secret.startswith("whsec_") and secret.encode() in made.content
    channel = Channel.objects.get()
    assert channel.is_orgs is (path == "/settings/notifications/")
    for page in (path, f"/notifications/channels/{public_id('chn', channel.id)}/"):
        html = browser.get(page).content.decode()
        assert secret not in html and URL not in html and "cdef" in html


def test_a_refused_address_is_told_at_its_field(browser: Browser) -> None:
    data = {"name": "Room", "service": "slack", "url": "https://evil.example/x"}
    answer = browser.post("/settings/notifications/", data)
    assert answer.status_code == 422
    assert answer.context["form"].errors["url"][0].startswith("This is no address of Slack.")
    assert not Channel.objects.exists()


def test_a_channels_page_follows_a_test_until_it_is_over(
    owner: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = services.create_channel(
        name="Room", service="webhook", url=URL, by=owner, at=AT
    ).channel
    page = f"/notifications/channels/{public_id('chn', channel.id)}/"
    assert browser.post(f"{page}test/")["Location"] == page

    sending = browser.get(page).content.decode()
    assert "Sending" in sending and 'hx-trigger="every 2s"' in sending
    delivery = Delivery.objects.get()
    Delivery.objects.filter(id=delivery.id).update(
        state="failed", error="The endpoint answered 404.", next_try_at=None, settled_at=AT
    )
    over = browser.part(page).content.decode()
    assert "Given up" in over and "The endpoint answered 404." in over and "every 2s" not in over


def test_a_paused_channel_says_why_and_can_be_resumed(owner: Any, browser: Browser) -> None:
    channel = services.create_channel(
        name="Room", service="webhook", url=URL, by=owner, at=AT
    ).channel
    Channel.objects.update(failures=8, last_error="The endpoint answered 500.")
    services.pause_channel(channel_id=channel.id, by=owner, at=AT)
    page = f"/notifications/channels/{public_id('chn', channel.id)}/"
    html = browser.get(page).content.decode()
    assert "after 8 failures in a row" in html and "The endpoint answered 500." in html
    assert "Send a test" not in html
    browser.post(f"{page}resume/")
    assert Channel.objects.get().state == "active"


def test_a_member_reaches_no_channel_of_the_org(org: Any, somebody: Any) -> None:
    channel = services.create_channel(
        name="Room", service="webhook", url=URL, own=False, by=owner_of(org), at=AT
    ).channel
    member = as_member(org, somebody("member"))
    page = f"/notifications/channels/{public_id('chn', channel.id)}/"
    assert member.get(page).status_code == 404
    for act in ("test", "pause", "resume", "remove"):
        assert member.post(f"{page}{act}/").status_code == 404
    assert member.post(page, {"name": "Mine"}).status_code == 404
    assert member.get("/settings/notifications/").status_code == 403
    assert Channel.objects.get().state == "active" and not Delivery.objects.exists()


def test_the_orgs_channels_take_the_same_permissions_on_the_page_as_by_the_api(acme: Any) -> None:
    probe = Probe(acme)
    browser, api = as_member(acme, probe.who), Api(token_for(acme, probe.who))
    data = {"name": "Endpoint", "service": "webhook", "url": URL}

    def ask() -> tuple[Any, Any]:
        page = browser.post("/settings/notifications/", data)
        return page, api.post("/channels", {**data, "name": "Other", "scope": "org"})

    for lacks, holds in (("notices.own", "notify.manage"), ("notify.manage", "notices.own")):
        probe.hold([holds])
        page, answer = ask()
        assert (page.status_code, page.context["problem"]["permission"]) == (403, lacks)
        assert (answer.status_code, answer.json()["permission"]) == (403, lacks)
        with keys.holding(acme.schema, acme.id):
            assert not Channel.objects.exists()
    probe.hold(["notices.own", "notify.manage"])
    assert [answer.status_code for answer in ask()] == [200, 201]
