"""What policies refuse, in the browser: why, where that is on record, and what isn't refused."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.looking import each_look
from tests.e2e.office import Office, last_part, open_run, run_by_form
from tests.e2e.person import Person

pytestmark = pytest.mark.e2e

WHY = "The role member may not work in projects marked payments."
CAP = 'obligations := {"cap_cost_micros": 500000}\n'
RATE = 'obligations := {"limit_rate": {"requests": 2, "seconds": 3600}}\n'


def put_in_force(person: Person, office: Office, name: str, template: str) -> None:
    """Write a template down as a policy of the whole organization, and activate it."""
    page, heading = person.page, person.page.get_by_role("heading", level=1)
    person.sign_in("acme", path=f"/policies/new/?template={template}")
    person.fill(name=name)
    person.press("Save draft")
    expect(heading).to_contain_text("v1 draft")
    office.will_delete(f"/policies/{last_part(page.url.replace('/edit', ''))}")
    page.get_by_role("link", name="Overview").last.click()
    page.locator("main [name=place]").select_option("org:")
    person.press("Attach")
    attached = page.get_by_role("region", name="Attached to")
    expect(attached.locator("ul")).to_contain_text("The organization")
    page.get_by_role("button", name="Activate v1").click()
    dialog = page.locator("#activate")
    expect(dialog).to_contain_text("decides about every call of the organization")
    person.press("Activate", within=dialog)
    expect(heading).to_contain_text("v1 active")


def refusal(person: Person) -> Locator:
    """What the form of an agent says of a call that was refused."""
    found = person.page.locator("#console .banner.bad")
    expect(found).to_contain_text("The call was refused.")
    return found


def succeeds(person: Person, text: str) -> None:
    expect(person.page.locator("#result")).to_contain_text(text)
    expect(person.page.locator("#result")).to_contain_text("Succeeded")


def test_a_role_is_kept_out_of_a_marked_project_and_of_no_other(
    office: Office, owner: Person, member: Person
) -> None:
    # Given a project with a mark, and a policy that keeps members out of such
    marked = office.project("payments")
    agent, other = office.agent(project=marked), office.agent()
    name = f"Keep members out {uuid.uuid4().hex[:6]}"
    put_in_force(owner, office, name, "role_and_project")
    # When a member has an agent of that project do something
    member.sign_in("acme", path=f"/agents/{agent}/try/")
    run_by_form(member, "Pay Ada")
    # Then they read why not, what the policies decided, and that nothing began
    expect(refusal(member)).to_contain_text(WHY)
    refusal(member).get_by_role("link", name="See the decision").click()
    expect(member.page.get_by_role("heading", level=1)).to_contain_text("Denied")
    expect(member.page.locator("main")).to_contain_text(WHY)
    expect(member.page.locator("#decision li", has_text=name)).to_contain_text("Denies")
    decision = last_part(member.page.url)
    run = office.run(open_run(member))
    expect(member.page.locator("#run-status")).to_have_text("Denied")
    expect(member.page.locator("#run-live")).to_contain_text("None: it never began.")
    expect(member.page.get_by_role("link", name="See the decision")).to_be_visible()
    # And so it is on record
    assert (run["status"], run["reason"]) == ("denied", "policy")
    assert (run["decision_id"], run["output"]) == (decision, None)
    assert office.must("GET", f"/runs/{run['id']}/steps")["results"] == []
    decided = office.must("GET", f"/decisions?run={run['id']}")["results"]
    assert [(one["id"], one["result"]) for one in decided] == [(decision, "deny")]
    # And a member works elsewhere, but not by naming that project there
    run_by_form(member, "Elsewhere", at=office.url(f"/agents/{other}/try/"))
    succeeds(member, "Elsewhere")
    run_by_form(member, "By name", at=office.url(f"/agents/{other}/try/?project={marked}"))
    expect(refusal(member)).to_contain_text(WHY)
    assert each_look(member.page, "run-refused") == []
    # And who isn't a member works there
    run_by_form(owner, "Pay Bob", at=office.url(f"/agents/{agent}/try/"))
    succeeds(owner, "Pay Bob")


def test_a_call_that_costs_more_than_the_cap_is_refused(office: Office, member: Person) -> None:
    # Given a cap, and a call that costs more
    agent = office.agent()
    price = f"/agents/{agent}/capabilities/echo"
    office.must("PATCH", price, {"price_micros": 500_001})
    office.policy(CAP, agent)
    # When somebody makes it, then it is refused for what it costs
    member.sign_in("acme", path=f"/agents/{agent}/try/")
    run_by_form(member, "Too dear")
    cost = "It would cost more than the policies allow one call to cost."
    expect(refusal(member)).to_contain_text(cost)
    # And the run and the decision say so
    page = member.page
    run = office.run(open_run(member, "On record"))
    expect(page.locator("#run-status")).to_have_text("Denied")
    expect(page.locator("#run-live")).to_contain_text(cost)
    assert (run["status"], run["reason"], run["cost_micros"]) == ("denied", "policy_cost", 0)
    page.locator("#run-live").get_by_role("link", name="See the decision").click()
    expect(page.locator("main")).to_contain_text(cost)
    expect(page.get_by_role("group", name="Obligations")).to_contain_text("500000")
    # And one at the cap is not
    office.must("PATCH", price, {"price_micros": 500_000})
    run_by_form(member, "Just so", at=office.url(f"/agents/{agent}/try/"))
    succeeds(member, "Just so")


def test_calls_beyond_a_rate_are_refused_and_when_they_may_come_again(
    office: Office, member: Person
) -> None:
    # Given a rate of two calls an hour
    agent = office.agent()
    office.policy(RATE, agent)
    member.sign_in("acme", path=f"/agents/{agent}/try/")
    # When somebody makes three
    for text in ("First", "Second"):
        run_by_form(member, text)
        succeeds(member, text)
    run_by_form(member, "Third")
    # Then the third is refused, with when to try again
    told = refusal(member)
    expect(told).to_contain_text("allow this caller no more calls of this tool for now")
    expect(told).to_contain_text(re.compile(r"You can try again in (a moment|\d+ (min|h))\."))
    told.get_by_role("link", name="See the decision").click()
    expect(member.page.locator("main")).to_contain_text("no more calls of this tool for now")
    run = office.run(open_run(member))
    assert (run["status"], run["reason"]) == ("denied", "policy_rate")
    # And others are counted by themselves
    assert office.call("owner", agent, "Mine")["status"] == "succeeded"
