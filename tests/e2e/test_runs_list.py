"""The list of runs in a browser: it follows by itself, and what is made of it stays."""

from __future__ import annotations

import json
import urllib.request
import uuid
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


def test_a_new_run_comes_to_the_open_list_and_disturbs_nobody(
    product: Product, owner: Person
) -> None:
    # Given somebody who has scrolled to a run and has the focus on it
    owner.sign_in("acme")
    key = owner.create_key("acme", f"Key {uuid.uuid4().hex[:6]}")
    text = f"Arrival {uuid.uuid4().hex[:6]}"
    page = owner.go(f"{product.org('acme')}/runs/")
    link = page.locator("#run-rows a.main").nth(2)
    focused = link.get_attribute("id")
    link.focus()
    page.set_viewport_size({"width": 1440, "height": 400})
    page.evaluate("window.scrollTo(0, 150)")
    # When another run comes
    _invoke(product, key, "echo", {"text": text})
    # Then it is there, and the focus and the page are where they were
    expect(page.locator("#run-rows a.main").first).to_have_text(text, timeout=15_000)
    assert page.evaluate("document.activeElement.id") == focused
    assert page.evaluate("window.scrollY") == 150
    assert owner.complaints == []


def test_a_filter_is_an_address_and_may_be_kept(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/runs/")
    page, name = owner.page, f"Failures {uuid.uuid4().hex[:6]}"
    expect(page.locator("#filter-from")).to_be_hidden()
    # The next choice takes the place of one that is still on its way, which htmx logs as an error.
    with page.expect_response(lambda answer: "range=custom" in answer.url):
        page.locator("#filter-range").select_option("custom")
    expect(page.locator("#filter-from")).to_be_visible()
    page.locator("#filter-range").select_option("7d")
    owner.is_at(f"{product.org('acme')}/runs/?range=7d")
    page.locator("#filter-status").select_option("failed")
    owner.is_at(f"{product.org('acme')}/runs/?status=failed&range=7d")
    expect(page.locator("#run-export")).to_have_attribute(
        "href", "/runs/export/?status=failed&range=7d"
    )
    owner.press("Save this view")
    page.locator("#view_name").fill(name)
    owner.press("Save view")
    expect(page.locator("#run-views [aria-current]")).to_have_text(name)
    page.get_by_role("link", name="All runs", exact=True).click()
    owner.is_at(f"{product.org('acme')}/runs/")
    page.get_by_role("link", name=name).click()
    owner.is_at(f"{product.org('acme')}/runs/?status=failed&range=7d")
    assert owner.complaints == []


def test_a_link_within_what_changes_by_itself_brings_a_page(
    product: Product, owner: Person
) -> None:
    """What a live list or a filter says of its own answers isn't meant for the links in it."""
    owner.sign_in("acme", path="/runs/")
    org, page = product.org("acme"), owner.page
    expect(page.locator("#run-rows[hx-get]")).to_have_count(1)
    title = page.locator("#run-rows a.main").first.inner_text()
    page.locator("#run-rows a.main").first.click()
    page.wait_for_url("**/runs/run_**")
    owner.has_heading(title)
    expect(page.locator("main")).to_have_count(1)
    page.locator("#nav").get_by_role("link", name="Projects").click()
    page.locator("#filter-q").fill("supp")
    page.wait_for_url("**q=supp**")
    owner.go(page.url)
    page.locator(".filters").get_by_role("link", name="Clear").click()
    owner.is_at(f"{org}/projects/")
    owner.has_heading("Projects")
    expect(page.locator("#filter-q")).to_have_value("")
    expect(page.locator("#page")).to_be_focused()


def test_the_address_of_a_step_unfolds_it(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/runs/?q=17")
    page = owner.page
    href = page.locator("#run-results a.main", has_text="17 * 23").first.get_attribute("href")
    owner.go(f"{product.org('acme')}{href}#step-2")
    expect(page.locator("#step-2")).to_be_visible()
    expect(page.locator("#step-1")).to_be_hidden()
    page.locator(".trace-row a", has_text="plan").first.click()
    expect(page.locator("#step-1")).to_be_visible()
    assert owner.complaints == []


def _invoke(product: Product, key: str, agent: str, given: Any) -> None:
    request = urllib.request.Request(  # noqa: S310 - the scheme is written here
        f"http://127.0.0.1:{product.port}/v1/agents/{agent}/invoke",
        data=json.dumps({"input": given}).encode(),
        headers={
            "Host": f"localhost:{product.port}",
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        assert answer.status == 200
