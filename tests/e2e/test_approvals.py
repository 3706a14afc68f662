"""What needs approval, in the browser: asked, shown, decided, and only then done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPerson
from tests.e2e.looking import each_look, finds
from tests.e2e.person import DEMO_PASSWORD, Person
from tests.e2e.product import PASSED_ON, Product

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent.parent
GOVERN = """
from apps.agents.selectors import get_agent
from apps.tenants import keys
from apps.tenants.selectors import find_org_by_slug
from tests.runs.governing import in_force

org = find_org_by_slug("acme")
with keys.holding(org.schema, org.id):
    agent = get_agent("{slug}")
    rules = 'require_approval contains "A person must agree." if input.resource.agent == "{slug}"'
    in_force(rules, name="People agree to {slug}", scope="agent", agent_id=agent.id)
"""


@dataclass
class Desk:
    """An agent that does nothing without approval, and keys of who asks it."""

    product: Product
    slug: str
    keys: dict[str, str]

    def api(self, who: str, path: str, body: Any = None) -> tuple[int, Any]:
        """POST with a body, else GET, with the key of that member."""
        request = urllib.request.Request(
            f"{self.product.apex}/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.keys[who]}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ask(self, who: str, text: str) -> tuple[str, str]:
        """Have it called; the run that waits, and the approval that it waits for."""
        status, run = self.api(who, f"/agents/{self.slug}/invoke", {"input": {"text": text}})
        assert (status, run["status"]) == (202, "awaiting_approval"), run
        return run["id"], run["approval_id"]

    def ends(self, run: str) -> Any:
        """The run once it is over."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = self.api("member", f"/runs/{run}")[1]
            if found["finished_at"]:
                return found
            time.sleep(0.5)
        raise AssertionError(f"{run} did not end: {found}")


def manage(product: Product, *arguments: str) -> str:
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(
        command,
        env=environ | {"MANDATE_HOME": str(product.home)},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def desk(product: Product) -> Desk:
    keys = {}
    for who in ("member", "admin"):
        said = manage(product, "apikey", "--org", "acme", "--user", f"{who}@acme.example")
        keys[who] = said.split()[-1]
    made = Desk(product, f"desk-{uuid.uuid4().hex[:8]}", keys)
    skill = {"runtime": "builtin", "config": {"skill": "echo"}}
    status, answer = made.api("member", "/agents", {"name": made.slug, "slug": made.slug, **skill})
    assert status == 201, answer
    manage(product, "shell", "-c", GOVERN.format(slug=made.slug))
    return made


@pytest.fixture
def admin(new_person: NewPerson) -> Person:
    return new_person("admin@acme.example", password=DEMO_PASSWORD)


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
def test_two_must_agree_where_a_rule_says_so(desk: Desk, admin: Person, owner: Person) -> None:
    owner.sign_in("acme", path="/approvals/rules/")
    form = owner.page.locator("#new-rule")
    form.locator("[name=agent]").select_option(desk.slug)
    form.locator("[name=quorum]").fill("2")
    owner.press("Make rule", within=form)
    row = owner.page.get_by_role("row").filter(has_text=desk.slug)
    row.locator("a.main").click()
    owner.has_heading(f"Whatever {desk.slug} does")
    assert each_look(owner.page, "approval-rule") == []
    owner.page.set_viewport_size({"width": 1440, "height": 900})

    run, approval = desk.ask("member", "Both of you")
    admin.sign_in("acme", path="/approvals/")
    open_request(admin, approval)
    admin.press("Approve", within=admin.page.locator("#decide"))
    expect(admin.page.locator("#approval-live")).to_contain_text("You have voted")
    expect(admin.page.locator("#approval-status")).to_contain_text("Waits")

    open_request(owner, approval)
    expect(owner.page.locator("#approval-live")).to_contain_text("1 of 2")
    owner.press("Approve", within=owner.page.locator("#decide"))
    expect(owner.page.locator("#approval-status")).to_contain_text("Approved")
    assert desk.ends(run)["status"] == "succeeded"


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
