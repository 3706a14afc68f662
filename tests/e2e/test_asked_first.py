"""Calls that wait for people: for one, since their host is new, or for two of three."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPerson
from tests.e2e.office import Office, last_part, open_run, template
from tests.e2e.person import DEMO_PASSWORD, Person
from tests.proof.outside import Outside, receiving

pytestmark = pytest.mark.e2e

# What the starter policy asks nobody about, and what isn't only reading.
CHANGES = {"read_only": False, "destructive": False, "open_world": False}
JOIN = """
from allauth.account.models import EmailAddress
from django.utils import timezone
from apps.orgs.models import Member, Role
from apps.tenants import keys
from apps.tenants.models import User
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services.membership import admit_user

org, at = find_org_by_slug("acme"), timezone.now()
user = User.objects.create_user("{email}", "{password}", name="Acme deputy")
EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
with keys.holding(org.schema, org.id):
    Member.objects.create(user_id=user.pk, label=user.name, email=user.email, joined_at=at,
                          role=Role.objects.get(slug="admin"))
    admit_user(org_id=org.id, user_id=user.pk, at=at)
"""


@pytest.fixture
def deputy(office: Office, new_person: NewPerson) -> Person:
    """A second admin, for as long as the test goes on."""
    email = f"deputy-{uuid.uuid4().hex[:6]}@acme.example"
    office.product.manage("shell", "-c", JOIN.format(email=email, password=DEMO_PASSWORD))
    members = {one["email"]: one["id"] for one in office.must("GET", "/members")["results"]}
    office.will_delete(f"/members/{members[email]}")
    return new_person(email, password=DEMO_PASSWORD)


def open_request(person: Person, approval: str, *, says: str) -> None:
    """Open it from the inbox, whose line says so."""
    person.go(f"{person.product.org('acme')}/approvals/")
    row = person.page.get_by_role("row").filter(has=person.page.locator(f"a[href*='{approval}']"))
    expect(row).to_contain_text(says)
    row.get_by_role("link").click()
    expect(person.page.locator("#approval-live")).to_be_visible()


def test_two_of_three_decide_and_the_third_finds_it_decided(
    office: Office, owner: Person, admin: Person, deputy: Person
) -> None:
    # Given a rule that two must agree, made where rules are, and three who may
    agent = office.agent()
    office.policy('require_approval contains "Two must agree."', agent)
    owner.sign_in("acme", path="/approvals/rules/")
    form = owner.page.locator("#new-rule")
    form.locator("[name=agent]").select_option(agent)
    form.locator("[name=quorum]").fill("2")
    owner.press("Make rule", within=form)
    rule = owner.page.get_by_role("row").filter(has_text=agent).locator("a.main")
    office.will_delete(f"/approval-rules/{last_part(rule.get_attribute('href') or '')}")
    run, approval = office.ask("member", agent, "Pay 900")
    deputy.sign_in("acme", path=f"/approvals/{approval}/")
    expect(deputy.page.locator("#decide")).to_be_visible()
    # When the first votes, then it still waits, and says for how many
    open_request(owner, approval, says="0 of 2")
    live = owner.page.locator("#approval-live")
    owner.press("Approve", within=owner.page.locator("#decide"))
    expect(live).to_contain_text("1 of 2 approved")
    expect(live).to_contain_text("You have voted.")
    expect(owner.page.locator("#approval-status")).to_contain_text("Waits")
    assert office.run(run)["status"] == "awaiting_approval"
    # When the second votes, then the run goes on
    admin.sign_in("acme")
    open_request(admin, approval, says="1 of 2")
    expect(admin.page.locator("#approval-live")).to_contain_text("Acme owner approved")
    admin.press("Approve", within=admin.page.locator("#decide"))
    expect(admin.page.locator("#approval-status")).to_contain_text("Approved")
    expect(admin.page.locator("#approval-live")).to_contain_text("2 of 2 approved")
    open_run(admin)
    ended = office.ends(run)
    assert (ended["status"], ended["reason"]) == ("succeeded", None)
    assert ended["output"] == {"text": "Pay 900"}
    expect(admin.page.locator("#run-status")).to_have_text("Succeeded")
    # And the third is told so, on the page that was open, and offered nothing on it anew
    deputy.press("Approve", within=deputy.page.locator("#decide"))
    expect(deputy.page.locator("#problem")).to_contain_text("This request is decided already")
    deputy.page.reload()
    expect(deputy.page.locator("#approval-status")).to_contain_text("Approved and used")
    expect(deputy.page.locator("#approval-live")).to_contain_text("Acme admin approved")
    expect(deputy.page.locator("#decide")).to_have_count(0)
    deputy.go(office.url("/approvals/"))
    expect(deputy.page.locator(f"#approvals-results a[href*='{approval}']")).to_have_count(0)
    votes = office.must("GET", f"/approvals/{approval}")["votes"]
    assert [vote["verdict"] for vote in votes] == ["approve", "approve"]


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with receiving(tmp_path) as found:
        yield found


def test_a_call_of_a_new_host_waits_and_the_next_one_does_not(
    office: Office, outside: Outside, member: Person, admin: Person
) -> None:
    # Given an agent whose endpoint is at a host that nobody has called (others are at 127.0.0.1)
    url = outside.url.replace("127.0.0.1", "localhost")
    tools = [{"name": "invoke", "annotations": CHANGES}]
    agent = office.agent(runtime="http", config={"url": url}, capabilities=tools)
    office.policy(template("new_host"), agent)
    # When somebody calls it, then it waits before anything has left
    member.sign_in("acme", path=f"/agents/{agent}/try/")
    member.fill(input=json.dumps({"token": "first"}))
    member.press("Run")
    result = member.page.locator("#result")
    expect(result).to_contain_text("A person has to agree first")
    waits = result.get_by_role("link", name="A person has to agree first").get_attribute("href")
    assert waits is not None and outside.seen() == []
    # And who decides reads which host, and why that is asked
    admin.sign_in("acme")
    open_request(admin, last_part(waits), says="localhost has not been called before.")
    live = admin.page.locator("#approval-live")
    admin.has_heading(f"{agent} calls invoke of localhost")
    expect(live.get_by_role("group", name="What will happen")).to_contain_text("localhost")
    admin.press("Approve", within=admin.page.locator("#decide"))
    expect(admin.page.locator("#approval-status")).to_contain_text("Approved")
    # Then the call is made by itself, once
    expect(result).to_contain_text("Succeeded")
    assert [one.token for one in outside.seen()] == ["first"]
    # And the next one is asked about no more
    member.go(office.url(f"/agents/{agent}/try/"))
    member.fill(input=json.dumps({"token": "second"}))
    member.press("Run")
    expect(result).to_contain_text("Succeeded")
    assert [one.token for one in outside.seen()] == ["first", "second"]
    assert office.run(open_run(member))["approval_id"] is None
