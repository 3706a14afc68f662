"""What needs approval, in the browser: asked, shown, decided, and only then done."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.looking import each_look, finds
from tests.e2e.office import Office, last_part
from tests.e2e.person import Person

pytestmark = pytest.mark.e2e


@dataclass
class Desk:
    """An agent that does nothing without approval."""

    office: Office
    slug: str

    def api(self, who: str, path: str, body: Any = None) -> tuple[int, Any]:
        """POST with a body, else GET, with the key of that member."""
        return self.office.api(who, "GET" if body is None else "POST", path, body)

    def ask(self, who: str, text: str) -> tuple[str, str]:
        """Have it called; the run that waits, and the approval that it waits for."""
        return self.office.ask(who, self.slug, text)

    def ends(self, run: str) -> Any:
        """The run once it is over."""
        return self.office.ends(run)


@pytest.fixture
def desk(office: Office) -> Desk:
    slug = office.agent()
    office.policy('require_approval contains "A person must agree."', slug)
    return Desk(office, slug)


def open_request(person: Person, approval: str) -> None:
    """Find it in the inbox, and open it from there."""
    person.go(f"{person.product.org('acme')}/approvals/")
    person.page.locator(f"#approvals-results a[href*='{approval}']").click()
    expect(person.page.locator("#approval-live")).to_be_visible()


@finds("approvals:approval")
def test_from_the_inbox_to_a_run_that_goes_on(desk: Desk, admin: Person) -> None:
    run, approval = desk.ask("member", "Pay Ada 12.50")
    admin.sign_in("acme", path="/approvals/")
    open_request(admin, approval)

    page = admin.page
    expect(page.locator("#approval-live")).to_contain_text("Pay Ada 12.50")
    expect(page.locator("#approval-live")).to_contain_text("A person must agree.")
    assert each_look(page, "approval-waits") == []
    page.set_viewport_size({"width": 1440, "height": 900})
    admin.fill(comment="Ada is known.")
    admin.press("Approve", within=page.locator("#decide"))

    expect(page.locator("#approval-status")).to_contain_text("Approved")
    expect(page.locator("#approval-live")).to_contain_text("Ada is known.")
    ended = desk.ends(run)
    assert (ended["status"], ended["output"]) == ("succeeded", {"text": "Pay Ada 12.50"})
    page.reload()
    expect(page.locator("#approval-status")).to_contain_text("Approved and used")
    assert each_look(page, "approval-used") == []


def test_a_rejection_ends_the_run_and_nothing_was_done(desk: Desk, admin: Person) -> None:
    run, approval = desk.ask("member", "Delete all")
    admin.sign_in("acme", path="/approvals/")
    open_request(admin, approval)
    admin.press("Reject", within=admin.page.locator("#decide"))

    expect(admin.page.locator("#approval-status")).to_contain_text("Rejected")
    ended = desk.ends(run)
    assert (ended["status"], ended["reason"]) == ("denied", "approval_rejected")
    assert ended["output"] is None


@finds("approvals:rule")
def test_a_rule_has_a_page(desk: Desk, owner: Person) -> None:
    owner.sign_in("acme", path="/approvals/rules/")
    form = owner.page.locator("#new-rule")
    form.locator("[name=agent]").select_option(desk.slug)
    form.locator("[name=quorum]").fill("2")
    owner.press("Make rule", within=form)
    row = owner.page.get_by_role("row").filter(has_text=desk.slug)
    row.locator("a.main").click()
    owner.has_heading(f"Whatever {desk.slug} does")
    desk.office.will_delete(f"/approval-rules/{last_part(owner.page.url)}")
    assert each_look(owner.page, "approval-rule") == []


def test_broken_glass_says_why_and_alerts_the_others(
    desk: Desk, admin: Person, owner: Person
) -> None:
    run, approval = desk.ask("member", "Open the dam")
    reason = f"Nobody can pay {uuid.uuid4().hex[:6]}"
    owner.sign_in("acme", path="/approvals/")
    open_request(owner, approval)
    owner.page.get_by_role("button", name="Break glass").first.click()
    dialog = owner.page.locator("#break-glass")
    expect(dialog).to_contain_text("alerted now")
    assert each_look(owner.page, "approval-glass") == []
    owner.page.set_viewport_size({"width": 1440, "height": 900})
    dialog.locator("[name=reason]").fill(reason)
    owner.press("Break glass", within=dialog)

    expect(owner.page.locator("#approval-live")).to_contain_text(reason)
    assert desk.ends(run)["status"] == "succeeded"
    admin.sign_in("acme", path="/notifications/")
    expect(admin.page.locator("main")).to_contain_text(re.compile("Glass broken"))


def test_nobody_approves_what_they_asked_for(desk: Desk, admin: Person) -> None:
    run, approval = desk.ask("admin", "Promote me")
    admin.sign_in("acme", path=f"/approvals/{approval}/")

    expect(admin.page.locator("#approval-live")).to_contain_text("somebody else has to decide it")
    assert admin.page.locator("#decide").count() == 0
    status, said = desk.api("admin", f"/approvals/{approval}/approve", {})
    assert (status, said["code"]) == (409, "approval_own_request")
    assert desk.api("admin", f"/runs/{run}")[1]["status"] == "awaiting_approval"
    admin.page.get_by_role("button", name="Take back").first.click()
    admin.press("Take it back", within=admin.page.locator("#take-back"))
    assert desk.ends(run)["reason"] == "approval_cancelled"
