"""What policies oblige a run to, and what a draft would change, in the browser."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import expect

from tests.e2e.looking import each_look
from tests.e2e.office import Office, open_run, run_by_form
from tests.e2e.person import Person

pytestmark = pytest.mark.e2e

MASK = 'obligations := {"mask": ["input.text", "output.text"]}\n'
NO_LETTERS = 'deny contains "No letters to Ada." if contains(input.context.input.text, "Ada")\n'


def test_what_is_masked_is_read_by_nobody(office: Office, owner: Person) -> None:
    # Given a value that a policy hides; without the policy it is there to read
    agent, value = office.agent(), f"IBAN {uuid.uuid4().hex}"
    assert office.call("owner", agent, value)["output"] == {"text": value}
    office.policy(MASK, agent)
    # When somebody has the agent work with it
    owner.sign_in("acme", path=f"/agents/{agent}/try/")
    page = owner.page
    run_by_form(owner, value)
    # Then the answer has the mask in its place
    expect(page.locator("#result")).to_contain_text("Succeeded")
    expect(page.locator("#result")).to_contain_text("[masked]")
    expect(page.locator("#result")).not_to_contain_text(value)
    # And so has the run's page
    open_run(owner)
    for name in ("Input", "Output"):
        expect(page.get_by_role("region", name=name, exact=True)).to_contain_text("[masked]")
    expect(page.locator("#run-status")).to_have_text("Succeeded")
    assert value not in page.content()
    # And the decision's, which says what is hidden
    page.locator("dd[title^=dec_] a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Allowed")
    expect(page.get_by_role("group", name="Obligations")).to_contain_text("output.text")
    expect(page.get_by_role("group", name="The document")).to_contain_text("[masked]")
    assert value not in page.content()
    # And the list of runs calls it by its tool, but the one before by what it said
    owner.go(office.url(f"/runs/?agent={agent}"))
    expect(page.locator("#run-results a.main")).to_have_text(["echo", value])


def test_a_draft_in_the_shadow_shows_what_it_would_change(office: Office, owner: Person) -> None:
    # Given a draft that is put in the shadow
    agent = office.agent()
    policy = office.draft(NO_LETTERS, agent)
    office.call("owner", agent, "To Ada, before")
    owner.sign_in("acme", path=f"/policies/{policy}/")
    page = owner.page
    owner.press("Start shadow mode")
    shadow = page.get_by_role("region", name="in the shadow")
    expect(shadow).to_contain_text("No difference yet")
    # When calls are made that it would decide otherwise, or not
    run_by_form(owner, "To Bob", at=office.url(f"/agents/{agent}/try/"))
    expect(page.locator("#result")).to_contain_text("To Bob")
    run_by_form(owner, "To Ada")
    # Then they are let through
    expect(page.locator("#result")).to_contain_text("To Ada")
    expect(page.locator("#result")).to_contain_text("Succeeded")
    # And the policy's page shows the one that it would have denied, and why
    owner.go(office.url(f"/policies/{policy}/"))
    expect(shadow).to_contain_text("It would have decided 1 call otherwise.")
    expect(shadow.locator("tbody tr")).to_have_count(1)
    expect(shadow.locator("tbody tr")).to_contain_text("Draft: denied")
    expect(shadow.locator("tbody tr")).to_contain_text("No letters to Ada.")
    assert each_look(page, "policy-in-the-shadow") == []
    page.set_viewport_size({"width": 1440, "height": 900})
    # And the log of decisions finds it, and what it would have been
    owner.go(office.url(f"/policies/decisions/?agent={agent}"))
    page.get_by_label("A draft differs").check()
    rows = page.locator("#decision-results tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("A draft differs")
    assert "shadowed=on" in page.url
    rows.locator("a.main").click()
    would = page.get_by_role("region", name="What drafts would have changed")
    expect(would).to_contain_text("No letters to Ada.")
    expect(would).to_contain_text("Denies")
    # And once it is ended nothing is compared any more
    owner.go(office.url(f"/policies/{policy}/"))
    owner.press("End shadow mode")
    expect(page.get_by_role("button", name="Start shadow mode")).to_be_visible()
    office.call("owner", agent, "To Ada, after")
    found = office.must("GET", f"/decisions?shadowed=true&agent={agent}")["results"]
    assert len(found) == 1
