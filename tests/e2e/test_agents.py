"""Registering an agent, trying it, and finding what it did: with scripts and without."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPerson
from tests.e2e.person import DEMO_PASSWORD, Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


@pytest.fixture
def name() -> str:
    return f"Parrot {uuid.uuid4().hex[:6]}"


def _register(person: Person, name: str) -> None:
    person.page.locator("main").get_by_role("link", name="New agent", exact=True).click()
    person.has_heading("New agent")
    person.page.get_by_role("link", name="Built-in skill").click()
    person.page.get_by_label("Skill").select_option("echo")
    person.fill(name=name, purpose="Repeats what it is told.")
    person.press("Check")
    expect(person.page.get_by_role("heading", name="What it offers")).to_be_visible()
    person.press("Register agent")
    expect(person.page.locator("h1")).to_contain_text(name)


def test_an_agent_is_registered_tried_and_found(
    product: Product, owner: Person, new_person: NewPerson, name: str
) -> None:
    # Given the owner of an org, who registers an agent
    owner.sign_in("acme", path="/agents/")
    _register(owner, name)
    slug = name.lower().replace(" ", "-")
    owner.is_at(f"{product.org('acme')}/agents/{slug}/")
    # When they try it
    owner.page.locator(".head").get_by_role("link", name="Try it").click()
    owner.is_at(f"{product.org('acme')}/agents/{slug}/try/")
    words = f"Hello {uuid.uuid4().hex[:8]}"
    owner.fill(input=f'{{"text": "{words}"}}')
    owner.press("Run")
    # Then the result comes under the form, and leads to the run
    expect(owner.page.locator("#result")).to_contain_text("Succeeded")
    expect(owner.page.locator("#result")).to_contain_text(words)
    owner.page.get_by_role("link", name="Open the run").click()
    owner.has_heading(words)
    run_url = owner.page.url
    # And what they type into the filter of the list finds it, in the address too
    owner.go(f"{product.org('acme')}/runs/")
    owner.page.locator("#filter-q").press_sequentially(words)
    expect(owner.page.locator("#run-results tbody tr")).to_have_count(1)
    expect(owner.page.locator("#filter-q")).to_be_focused()
    expect(owner.page).to_have_url(re.compile(r"\?q=Hello"))
    deep = owner.page.url
    owner.page.locator("#filter-status").select_option("failed")
    expect(owner.page.locator("#run-results")).to_contain_text("No run matches")
    owner.page.go_back()
    expect(owner.page.locator("#run-results tbody tr")).to_have_count(1)
    # And a colleague who follows that address sees the same, and the run
    colleague = new_person("viewer@acme.example", password=DEMO_PASSWORD)
    colleague.sign_in("acme")
    colleague.go(deep)
    expect(colleague.page.locator("#filter-q")).to_have_value(words)
    colleague.page.locator("#run-results tbody a.main").click()
    colleague.is_at(run_url)
    colleague.has_heading(words)
    expect(colleague.page.get_by_role("link", name="Run again")).to_have_count(0)


def test_a_run_in_the_background_is_followed_to_its_end(product: Product, owner: Person) -> None:
    # Given the console of an agent
    owner.sign_in("acme", path="/agents/concierge/try/")
    # When it is asked for something in the background
    owner.fill(input='{"question": "What is 6 * 7?"}')
    owner.page.locator("[name=mode]").select_option("async")
    owner.press("Run")
    # Then the result comes by itself
    expect(owner.page.locator("#result")).to_contain_text("Succeeded", timeout=30_000)
    expect(owner.page.locator("#result")).to_contain_text("42")
    # And the run's page shows who else was asked, without asking for more
    owner.page.get_by_role("link", name="Open the run").click()
    expect(owner.page.locator(".trace-row")).to_contain_text(["concierge", "calculator"])
    expect(owner.page.locator("#run-live[hx-get]")).to_have_count(0)


def test_the_kill_switch_is_asked_about_and_acts(
    product: Product, owner: Person, name: str
) -> None:
    # Given an agent that is active
    owner.sign_in("acme", path="/agents/")
    _register(owner, name)
    # When the kill switch is pressed, a question comes first, and asks why
    owner.press("Kill switch")
    dialog = owner.page.get_by_role("dialog")
    expect(dialog.get_by_label("Why")).to_be_focused()
    expect(dialog).to_contain_text("No run of it is open.")
    owner.press("Cancel", within=dialog)
    expect(owner.page.locator("h1")).to_contain_text("Active")
    owner.press("Kill switch")
    dialog.get_by_label("Why").fill("It orders twice.")
    owner.press("Stop it now", within=dialog)
    # Then it is suspended, says why, and takes no call
    expect(owner.page.locator("h1")).to_contain_text("Suspended")
    expect(owner.page.locator("main")).to_contain_text("It orders twice.")
    expect(owner.page.locator("#toasts")).to_contain_text("was stopped")
    expect(owner.page.get_by_role("button", name="Kill switch")).to_have_count(0)
    owner.page.get_by_role("navigation", name="Pages of the agent").get_by_text("Settings").click()
    owner.press("Activate agent")
    expect(owner.page.locator("h1")).to_contain_text("Active")
    # And suspending it is undone where it was done
    owner.press("Suspend")
    expect(owner.page.locator("h1")).to_contain_text("Suspended")
    owner.press("Activate")
    expect(owner.page.locator("h1")).to_contain_text("Active")


def test_everything_works_without_scripts(
    product: Product, new_person: NewPerson, name: str
) -> None:
    # Given a browser without scripts
    person = new_person("owner@acme.example", password=DEMO_PASSWORD, java_script_enabled=False)
    person.sign_in("acme", path="/agents/")
    # When an agent is registered and tried
    _register(person, name)
    person.page.locator(".head").get_by_role("link", name="Try it").click()
    words = f"Plain {uuid.uuid4().hex[:8]}"
    person.fill(input="nonsense")
    person.press("Run")
    expect(person.page.locator("[data-error-summary]")).to_contain_text("no JSON")
    person.fill(input=f'{{"text": "{words}"}}')
    person.press("Run")
    # Then the run's own page is the answer
    person.has_heading(words)
    assert "/runs/run_" in person.page.url
    # And the list can be filtered by its button
    person.go(f"{product.org('acme')}/runs/")
    person.page.locator("#filter-q").fill(words)
    person.page.get_by_role("button", name="Filter", exact=True).click()
    expect(person.page.locator("#run-results tbody tr")).to_have_count(1)
    person.page.locator("#run-results tbody a.main").click()
    person.has_heading(words)
