"""The audit log and the signing keys in the browser: filtered, verified, taken away, rotated."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


def test_the_log_is_filtered_verified_and_taken_away(product: Product, owner: Person) -> None:
    # Given the owner on the page of the log
    owner.sign_in("acme", path="/audit/")
    owner.has_heading("Audit log")
    # When they narrow it to what was done to agents
    owner.page.get_by_label("What", exact=True).select_option("agents.")
    expect(owner.page).to_have_url(re.compile("action=agents"))
    expect(owner.page.locator("#audit-results tbody .sub").first).to_contain_text("agents.")
    # Then the newest of them tells what it was and how it is proved
    owner.page.locator("#audit-results a.main, #audit-results td.main a").first.click()
    expect(owner.page.get_by_role("heading", name="Proof")).to_be_visible()
    # And the log verifies itself in place
    owner.go(f"{product.org('acme')}/audit/")
    owner.page.get_by_role("link", name="Verify now").click()
    expect(owner.page.locator("#audit-report")).to_contain_text("The log holds")
    owner.is_at(f"{product.org('acme')}/audit/")
    # And it is taken away as a file
    with owner.page.expect_download() as taken:
        owner.page.get_by_role("link", name="Whole log, JSON Lines").click()
    assert taken.value.suggested_filename == "audit-acme.jsonl"


def test_a_signing_key_is_announced_rotated_and_the_log_still_verifies(
    product: Product, owner: Person
) -> None:
    # Given the owner, who announces the next key
    owner.sign_in("acme", path="/settings/signing-keys/")
    owner.page.get_by_role("button", name="Announce next key", exact=True).first.click()
    owner.press("Announce next key", within=owner.page.locator("#next"))
    owner.prove_if_asked("Announce next key", done="Signing keys")
    expect(owner.page.locator("main tbody")).to_contain_text("Next")
    # When it takes over
    owner.page.get_by_role("button", name="Rotate", exact=True).click()
    owner.press("Rotate signing key", within=owner.page.locator("#rotate"))
    owner.prove_if_asked("Rotate signing key", done="Signing keys")
    # Then the old one only verifies, and so the log holds
    expect(owner.page.locator("main tbody")).to_contain_text("Verify only")
    owner.go(f"{product.org('acme')}/audit/check/")
    expect(owner.page.locator("#audit-report")).to_contain_text("The log holds")
