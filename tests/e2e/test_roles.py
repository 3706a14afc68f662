"""What each role is offered, and that who may not is told so, and who could change it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewPerson
from tests.e2e.person import DEMO_PASSWORD, Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e

ROLES = ("owner", "admin", "member", "viewer")
WHY = re.compile("[Ss]omebody who is Owner(,| or) Admin|Acme owner or Acme admin can change that")
# page: what it offers, by its role and name, and to whom; who isn't offered it is told why there
OFFERS = {
    "/agents/echo/": ("link", "Try it", ROLES[:3]),
    "/agents/echo/try/": ("button", "Run", ROLES[:3]),
    "/agents/echo/settings/": ("button", "Save changes", ROLES[:3]),
    "/agents/new/details/": ("button", "Check", ROLES[:3]),
    "/agents/calculator/grants/": ("button", "Give grant", ROLES[:2]),
    "/projects/support/": ("button", "Save changes", ROLES[:3]),
    "/settings/": ("button", "Save changes", ROLES[:2]),
    "/settings/members/": ("button", "Send invitation", ROLES[:2]),
    "/settings/models/": ("button", "Add provider", ROLES[:2]),
    "/settings/domains/": ("button", "Add host", ROLES[:2]),
    "RUN": ("link", "Run again", ROLES[:3]),
}
# Nothing of these is on the page of an agent for who may only look.
OF_EDITORS = ("Suspend", "Kill switch", "Activate")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_offered_what_it_may_and_told_why_not(
    product: Product, new_person: NewPerson, role: str
) -> None:
    person = new_person(f"{role}@acme.example", password=DEMO_PASSWORD)
    person.sign_in("acme", path="/runs/")
    run = person.page.locator("#run-results a.main").first.get_attribute("href")
    faults = []
    for path, (kind, name, allowed) in OFFERS.items():
        url = f"{product.org('acme')}{run if path == 'RUN' else path}"
        faults += look_for(person.go(url), kind, name, offered=role in allowed)
    assert faults == []


def look_for(page: Page, kind: str, name: str, *, offered: bool) -> list[str]:
    """What is wrong with how the page treats somebody who may do that, or may not."""
    found = page.locator("main").get_by_role(kind, name=name, exact=True)  # type: ignore[arg-type]
    is_there, why = found.count() > 0, WHY.search(page.locator("main").inner_text())
    if is_there is not offered:
        return [f"{page.url}: {name} is {'' if is_there else 'not '}offered"]
    return [] if offered or why else [f"{page.url}: it isn't said who could allow {name}"]


def test_a_viewer_of_an_agent_has_no_switch_and_an_editor_has(
    product: Product, new_person: NewPerson, owner: Person
) -> None:
    viewer = new_person("viewer@acme.example", password=DEMO_PASSWORD)
    for person, some in ((viewer, 0), (owner, 2)):
        person.sign_in("acme", path="/agents/concierge/")
        buttons = person.page.locator(".head").get_by_role("button")
        assert sum(buttons.filter(has_text=word).count() > 0 for word in OF_EDITORS) == some


def test_a_viewers_call_is_refused_and_changes_nothing(
    product: Product, new_person: NewPerson, owner: Person
) -> None:
    # Given the console, which an owner has opened
    owner.sign_in("acme", path="/agents/echo/try/")
    words = "A word of nobody"
    owner.fill(input=f'{{"text": "{words}"}}')
    # When a viewer sends such a form from a page of theirs
    viewer = new_person("viewer@acme.example", password=DEMO_PASSWORD)
    viewer.sign_in("acme")
    answer = viewer.page.evaluate(
        """async (words) => {
        const token = JSON.parse(document.body.getAttribute('hx-headers'))['X-CSRFToken'];
        const body = new URLSearchParams({tool: 'echo', mode: 'sync', nonce: 'ab'.repeat(16),
          input: JSON.stringify({text: words})});
        const sent = await fetch('/agents/echo/try/',
          {method: 'POST', body, headers: {'X-CSRFToken': token}});
        return [sent.status, await sent.text()]; }""",
        words,
    )
    # Then it is refused with why, and no run came of it
    assert answer[0] == 403 and "agents.invoke: have agents do something" in answer[1]
    assert "Acme owner or Acme admin can change that." in answer[1]
    mine = f"{product.org('acme')}/runs/?agent=echo&range=24h&q=nobody"
    assert viewer.go(mine).locator("#run-results tbody a.main", has_text=words).count() == 0
    # And the owner's form is let through
    owner.press("Run")
    expect(owner.page.locator("#result")).to_contain_text("Succeeded")
    expect(viewer.go(mine).locator("#run-results tbody a.main").first).to_have_text(words)
