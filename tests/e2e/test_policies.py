"""A policy in the browser: written with a mistake, mended, tried, tested, activated, attached."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import expect

from tests.e2e.looking import finds, sweep
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e
FLAWED = """package mandate

default allow := true

deny contains "Not for echoes." if {
    input.resource.agent == wanted
}
"""
MENDED = FLAWED.replace("== wanted", '== "echo"')
TESTS = """package mandate_test

import data.mandate

test_echo_is_denied if {
    count(mandate.deny) == 1 with input as {"resource": {"agent": "echo"}}
}
"""


def test_a_policy_is_written_mended_tried_tested_activated_and_attached(owner: Person) -> None:
    owner.sign_in("acme", path="/policies/new/?template=role_and_project")
    page = owner.page
    # Given a text with a mistake
    owner.fill(name="No echoes", purpose="", rego_text=FLAWED, tests=TESTS)
    owner.press("Save draft")
    # Then the line is named below the editor and marked in it
    expect(page.locator("main")).to_contain_text("Line 6, column")
    expect(page.locator(".editor-numbers .wrong").first).to_have_text("6")
    # When it is mended, then it is a draft, and can be tried on a call
    owner.fill(rego_text=MENDED)
    owner.press("Save draft")
    expect(page.get_by_role("heading", level=1)).to_contain_text("v1 draft")
    owner.press("Try and run tests")
    expect(page.locator("#tried")).to_contain_text("Allowed")
    expect(page.locator("#tried")).to_contain_text("1 of 1 pass")
    # When its tests ran and it is activated, the dialog says the effect before
    page.get_by_role("link", name="Overview").last.click()
    owner.press("Run its tests")
    expect(page.get_by_role("heading", level=1)).to_contain_text("v1 tested")
    page.get_by_role("button", name="Activate v1").click()
    expect(page.locator("#activate")).to_contain_text("attach it first")
    page.locator("#activate").get_by_role("button", name="Activate", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("v1 active")
    # Then it counts where it is attached, and nowhere else once it is retired
    page.locator("main [name=place]").select_option("agent:echo")
    owner.press("Attach")
    expect(page.get_by_role("heading", name="Attached to")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Agent echo")
    page.get_by_role("button", name="Retire", exact=True).click()
    page.locator("#retire").get_by_role("button", name="Retire policy").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Retired")
    assert owner.complaints == []


@finds(
    *("policies:policy", "policies:edit", "policies:diff", "policies:backtest"),
    "policies:decision",
)
def test_pages_of_a_policy_and_of_what_it_decided(product: Product, owner: Person) -> None:
    # Given a policy of two versions, and a decision
    origin, page = product.org("acme"), owner.page
    owner.sign_in("acme", path="/policies/new/?template=role_and_project")
    owner.fill(name=f"Two versions {uuid.uuid4().hex[:6]}")
    owner.press("Save draft")
    expect(page.get_by_role("heading", level=1)).to_contain_text("v1 draft")
    policy = page.url.partition("?")[0].removeprefix(origin).removesuffix("edit/")
    owner.go(f"{origin}{policy}edit/")
    owner.fill(rego_text=MENDED)
    owner.press("Save draft")
    expect(page.get_by_role("heading", level=1)).to_contain_text("v2 draft")
    owner.go(f"{origin}/policies/decisions/")
    decision = page.locator("main td a.main").first.get_attribute("href")
    assert decision is not None
    # Then each of their pages is sound in every look
    found = {
        "policy": policy,
        "policy-edit": f"{policy}edit/",
        "policy-diff": f"{policy}versions/1..2/",
        "policy-backtest": f"{policy}backtest/",
        "policy-decision": decision,
    }
    sweep(owner, origin, found)
