"""Notices in a browser: the bell that follows by itself, the inbox, the mail, a channel."""

from __future__ import annotations

import re
import urllib.request
import uuid

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPerson
from tests.e2e.looking import each_look, finds
from tests.e2e.person import DEMO_PASSWORD, Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


def test_a_notice_rings_is_read_and_was_mailed(product: Product, new_person: NewPerson) -> None:
    # Given a member on some page, with nothing unread
    member = new_person("member@acme.example", password=DEMO_PASSWORD)
    member.page.clock.install()
    member.sign_in("acme")
    key = member.create_key("acme", f"Key {uuid.uuid4().hex[:6]}")
    _call(product, key, "/v1/notices/read", status=200)
    page, bell = member.go(f"{product.org('acme')}/projects/"), member.page.locator("#bell")
    expect(bell).to_have_attribute("aria-label", "Notifications")
    # When something happens while the page is open
    _call(product, key, "/v1/notices/test")
    page.clock.fast_forward(31_000)
    # Then the bell says so by itself, and the inbox has it
    expect(bell).to_have_attribute("aria-label", "Notifications, 1 unread")
    bell.click()
    member.has_heading("Notifications")
    row = page.locator(".notice", has_text="This is a test notice")
    expect(row).to_have_class(re.compile("unread"))
    assert each_look(page, "notice-unread") == []
    # And marking it as read changes the row and the bell in place
    row.get_by_role("button", name="Mark as read").click()
    expect(row).not_to_have_class(re.compile("unread"))
    expect(bell).to_have_attribute("aria-label", "Notifications")
    member.is_at(f"{product.org('acme')}/notifications/")
    # And opening it leads to what it is about
    row.get_by_role("button", name="This is a test notice").click()
    member.has_heading("What reaches you")
    member.open_mail("This is a test notice")
    member.follow_link()
    member.has_heading("What reaches you")
    assert member.complaints == []


@finds("notify:channel", "notify:channels", "notify:org_channels")
def test_a_channel_that_does_not_answer_says_so(product: Product, owner: Person) -> None:
    name = f"Room {uuid.uuid4().hex[:6]}"
    owner.sign_in("acme", path="/settings/notifications/")
    owner.fill(name=name, url="https://evil.example/hook")
    owner.page.locator("main [name=service]").select_option("slack")
    owner.press("Add channel")
    expect(owner.page.locator("main .errors").first).to_contain_text("no address of Slack")

    owner.page.locator("main [name=service]").select_option("webhook")
    owner.fill(url="https://nothing-answers-here.example/hook")
    owner.press("Add channel")
    owner.has_heading(f"{name} was added")
    expect(owner.page.locator("main .copy code").first).to_contain_text("whsec_")
    assert each_look(owner.page, "channel-created") == []
    owner.page.get_by_role("link", name="Open the channel").click()
    owner.has_heading(name)
    owner.press("Send a test")
    failed = owner.page.locator("#deliveries", has_text="Given up")
    expect(failed).to_be_visible(timeout=30_000)
    assert each_look(owner.page, "channel") == []
    owner.go(f"{product.org('acme')}/notifications/channels/")
    assert each_look(owner.page, "channels-none") == []
    owner.go(f"{product.org('acme')}/settings/notifications/")
    expect(owner.page.locator("tr", has_text=name)).to_contain_text("Failing")
    assert each_look(owner.page, "channels-of-org") == []
    assert owner.complaints == []


def _call(product: Product, key: str, path: str, *, status: int = 204) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{product.port}{path}",
        data=b"{}",
        headers={
            "Host": f"localhost:{product.port}",
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == status
