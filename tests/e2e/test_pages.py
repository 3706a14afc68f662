"""Every page, in both themes and at two widths: accessible, whole, and quiet in the console."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPerson
from tests.e2e.looking import each_look, finds, look, sweep
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e

STRANGER = {
    "landing": "/",
    "signup": "/account/signup/",
    "login": "/account/login/",
    "password-reset": "/account/password/reset/",
    "password-reset-sent": "/account/password/reset/done/",
    "verification-sent": "/account/confirm-email/",
    "account-inactive": "/account/inactive/",
    "link-not-valid": "/account/confirm-email/none/",
    "reset-not-valid": "/account/password/reset/key/1-none/",
    "reset-done": "/account/password/reset/key/done/",
    "invitation-not-valid": "/invitations/none/",
    "mail": "/dev/mail/",
    "gallery": "/ui/",
    "api-docs": "/v1/docs",
    "status": "/status/",
    "not-found": "/nothing/",
}
ACCOUNT = {
    "home": "/account/",
    "org-new": "/account/orgs/new/",
    "profile": "/account/profile/",
    "email": "/account/email/",
    "password": "/account/password/change/",
    "security": "/account/security/",
    "prove-by-password": "/account/reauthenticate/",
    "sessions": "/account/sessions/",
    "logout": "/account/logout/",
}
# Pages that show themselves only to a fresh proof.
PROVED = {
    "passkey-new": "/account/2fa/webauthn/add/",
    "totp": "/account/2fa/totp/activate/",
}
WORKSPACE = {
    "overview": "/",
    "overview-week": "/?range=7d",
    "overview-of-a-project": "/?project=support&range=30d",
    "agents": "/agents/",
    "agents-none": "/agents/?q=zzzz",
    "agents-sorted": "/agents/?sort=name",
    "agents-of-a-project": "/agents/?project=support",
    "agent-new": "/agents/new/",
    "agent-new-builtin": "/agents/new/details/",
    "agent-new-http": "/agents/new/details/?runtime=http",
    "agent-new-llm": "/agents/new/details/?runtime=llm",
    "agent-new-check": "/agents/new/check/",
    "agent": "/agents/concierge/",
    "agent-try": "/agents/summarizer/try/",
    "agent-tools": "/agents/concierge/tools/",
    "agent-tool": "/agents/calculator/tools/calculator/",
    "agent-runs": "/agents/calculator/runs/",
    "agent-grants": "/agents/calculator/grants/",
    "agent-grants-none": "/agents/echo/grants/",
    "agent-manifests": "/agents/echo/manifests/",
    "agent-manifest": "/agents/echo/manifests/1/",
    "agent-keys": "/agents/echo/keys/",
    "agent-settings": "/agents/echo/settings/",
    "runs": "/runs/?level=all",
    "runs-sorted": "/runs/?level=all&sort=started",
    "runs-none": "/runs/?q=zzzz",
    "runs-filtered": "/runs/?range=custom&from=2026-01-01&level=all",
    "runs-views": "/runs/views/",
    "policies": "/policies/",
    "policies-none": "/policies/?q=zzzz",
    "policy-new": "/policies/new/",
    "policy-new-template": "/policies/new/?template=role_and_project",
    "policy-settings": "/policies/settings/",
    "policy-decisions": "/policies/decisions/",
    "policy-decisions-none": "/policies/decisions/?result=unavailable",
    "approvals": "/approvals/",
    "approvals-mine": "/approvals/?tab=mine",
    "approvals-decided": "/approvals/?tab=decided",
    "approval-rules": "/approvals/rules/",
    "projects": "/projects/",
    "projects-none": "/projects/?q=zzzz",
    "project": "/projects/support/",
    "general": "/settings/",
    "members": "/settings/members/",
    "members-none": "/settings/members/?q=zzzz",
    "roles": "/settings/roles/",
    "role": "/settings/roles/viewer/",
    "role-new": "/settings/roles/new/?from=viewer",
    "keys": "/settings/keys/",
    "keys-none": "/settings/keys/?q=zzzz",
    "domains": "/settings/domains/",
    "models": "/settings/models/",
    "signing-keys": "/settings/signing-keys/",
    "audit": "/audit/",
    "audit-none": "/audit/?subject=zzzz",
    "audit-check": "/audit/check/",
    "close": "/settings/danger/",
    "org-channels": "/settings/notifications/",
    "notices": "/notifications/",
    "notices-unread": "/notifications/?status=unread",
    "notice-preferences": "/notifications/settings/",
    "own-channels": "/notifications/channels/",
    "confirm-nothing": "/confirm/",
    "search": "/search/?q=e",
    "search-empty": "/search/",
    "search-none": "/search/?q=zzzz",
    "status-in-org": "/status/",
    "ticket-refused": "/session",
    "org-api-docs": "/v1/docs",
    "org-not-found": "/nothing/",
}


def test_pages_of_the_apex_for_a_stranger(product: Product, new_person: NewPerson) -> None:
    sweep(new_person(), product.apex, STRANGER)


def test_pages_of_an_account(product: Product, owner: Person) -> None:
    owner.go(f"{product.apex}/account/login/")
    owner.give_password()
    owner.has_heading("Your organizations")
    sweep(owner, product.apex, ACCOUNT)
    owner.go(f"{product.apex}/account/reauthenticate/")
    owner.fill(password=owner.password)
    owner.press("Confirm")
    owner.has_heading("Your organizations")
    sweep(owner, product.apex, PROVED)


@finds("orgs:keys", "signed_out")
def test_pages_of_the_workspace(product: Product, owner: Person) -> None:
    owner.sign_in("acme")
    sweep(owner, product.org("acme"), WORKSPACE)
    owner.create_key("acme", "Page sweep")
    faults = each_look(owner.page, "key-created")
    assert faults == []
    owner.go(f"{product.org('acme')}/signed-out")
    assert each_look(owner.page, "signed-out") == []


def test_pages_of_the_workspace_for_a_viewer(product: Product, new_person: NewPerson) -> None:
    viewer = new_person("viewer@acme.example", password="mandate-demo")
    viewer.sign_in("acme")
    viewable = {f"viewer-{name}": path for name, path in WORKSPACE.items()}
    sweep(viewer, product.org("acme"), viewable)


@finds("runs:run")
def test_pages_of_runs(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/runs/")
    found = {
        "run-with-children": _run_named(owner, "17 * 23"),
        "run-failed": _run_named(owner, "1 / 0"),
    }
    sweep(owner, product.org("acme"), found)


@finds("agents:new_check", "agents:new_register", "agents:tool")
def test_pages_of_an_agent_behind_a_url(product: Product, owner: Person) -> None:
    slug = f"desk-{uuid.uuid4().hex[:6]}"
    owner.sign_in("acme", path="/agents/new/details/?runtime=http")
    owner.fill(name=slug, url=f"http://127.0.0.1:{product.port}/nothing", headers="x-region: eu")
    owner.press("Check")
    owner.page.get_by_role("heading", name="What it offers").wait_for()
    faults = each_look(owner.page, "agent-new-checked")
    owner.press("Register agent")
    owner.has_heading(f"{slug} is registered")
    faults += each_look(owner.page, "agent-secret")
    owner.go(f"{product.org('acme')}/agents/{slug}/try/")
    owner.fill(input="{}")
    owner.press("Run")
    failed = owner.page.locator("#result").get_by_role("link", name="Open the run")
    found = {
        "run-failed-http": str(failed.get_attribute("href")),
        "agent-http": f"/agents/{slug}/",
        "agent-http-tool": f"/agents/{slug}/tools/invoke/",
        "agent-http-settings": f"/agents/{slug}/settings/",
    }
    sweep(owner, product.org("acme"), found)
    assert faults == []


@finds("agents:grant")
def test_pages_of_a_grant(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/agents/calculator/grants/")
    change = owner.page.get_by_role("link", name="Change the grant of Concierge")
    sweep(owner, product.org("acme"), {"agent-grant": str(change.get_attribute("href"))})


@finds("orgs:domain")
def test_pages_of_domains(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/settings/domains/")
    found = {}
    for kind, name in (("host", "agents"), ("mail", "mail")):
        owner.go(f"{product.org('acme')}/settings/domains/")
        field = owner.page.locator(f"#new-{kind} [name=name]")
        field.fill(f"{name}-{uuid.uuid4().hex[:8]}.acme.example")
        owner.page.locator(f"#new-{kind} button[type=submit]").click()
        owner.page.get_by_role("heading", name="Records to publish").wait_for()
        found[f"domain-{kind}"] = urlsplit(owner.page.url).path
    sweep(owner, product.org("acme"), found)


@finds("orgs:member_groups")
def test_pages_of_a_members_groups(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/settings/members/")
    change = owner.page.get_by_role("link", name="Groups of Acme member")
    url = str(change.get_attribute("href"))
    owner.go(product.org("acme") + url)
    owner.fill(groups="emea, finance")
    owner.press("Save groups")
    expect(owner.page.get_by_role("row").filter(has_text="finance")).to_have_count(1)
    found = {"member-groups": url, "members-in-a-group": "/settings/members/?group=finance"}
    sweep(owner, product.org("acme"), found)


@finds("orgs:audit_entry")
def test_pages_of_an_entry_of_the_audit_log(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/audit/")
    entry = owner.page.locator("main a[href^='/audit/evt_']").first
    sweep(owner, product.org("acme"), {"audit-entry": str(entry.get_attribute("href"))})


@finds("runs:view")
def test_pages_of_a_saved_view(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/runs/?status=failed")
    owner.press("Save this view")
    name = f"Failures {uuid.uuid4().hex[:6]}"
    owner.page.locator("#view_name").fill(name)
    owner.press("Save view")
    owner.page.get_by_role("link", name=name).first.wait_for()
    owner.go(f"{product.org('acme')}/runs/views/")
    change = owner.page.locator("main a[href^='/runs/views/viw_']").first
    sweep(owner, product.org("acme"), {"runs-view": str(change.get_attribute("href"))})


@finds("agents:provider", "agents:models")
def test_pages_of_a_provider_of_models(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/settings/models/")
    name = f"models-{uuid.uuid4().hex[:6]}"
    form = owner.page.locator("form", has=owner.page.locator("[name=api_key]"))
    form.locator("[name=name]").fill(name)
    form.locator("[name=base_url]").fill(f"http://127.0.0.1:{product.port}/nothing")
    form.locator("[name=api_key]").fill("sk-of-nobody-4711")
    owner.press("Add provider", within=form)
    row = owner.page.get_by_role("row").filter(has_text=name)
    change = row.get_by_role("link", name="Replace key").get_attribute("href")
    found = {"models-with-one": "/settings/models/", "model-provider": str(change)}
    sweep(owner, product.org("acme"), found)


def test_pages_with_something_open(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/agents/concierge/")
    owner.press("Kill switch")
    owner.page.get_by_role("dialog").wait_for()
    faults = each_look(owner.page, "kill-switch")
    owner.page.set_viewport_size({"width": 1440, "height": 900})
    owner.go(f"{product.org('acme')}/runs/")
    owner.go(f"{product.org('acme')}{_run_named(owner, '17 * 23')}")
    for summary in owner.page.locator(".unfold summary").all():
        summary.click()
    faults += each_look(owner.page, "run-unfolded")
    owner.go(f"{product.org('acme')}/agents/calculator/try/")
    owner.fill(input='{"expression": 1}')
    owner.press("Run")
    owner.page.locator("[data-error-summary]").wait_for()
    faults += each_look(owner.page, "try-refused")
    assert faults == []


def _run_named(person: Person, title: str) -> str:
    """The address of the newest run with such a title, in the list that is open."""
    link = person.page.locator("#run-results a.main", has_text=title).first
    return str(link.get_attribute("href"))


def test_pages_with_the_palette_and_the_switcher_open(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/agents/?project=support")
    owner.page.wait_for_load_state("load")  # the scripts that know the keys are there
    owner.page.keyboard.press("Control+k")
    expect(owner.page.locator("#palette-query")).to_be_focused()
    faults = each_look(owner.page, "palette")
    expect(owner.page.locator("#palette-query")).to_be_focused()
    owner.page.keyboard.type("calc")
    owner.page.locator("#palette-found [role=option]").first.wait_for()
    faults += each_look(owner.page, "palette-found")
    owner.page.keyboard.press("Escape")
    owner.page.locator("[popovertarget=menu-project]").click()
    faults += each_look(owner.page, "switcher")
    assert faults == []


def test_refused_form_and_open_drawer(product: Product, owner: Person) -> None:
    owner.sign_in("acme", path="/projects/")
    owner.page.locator("#new-project [name=name]").fill("Another one")
    owner.page.locator("#new-project [name=slug]").fill("support")
    owner.page.locator("#new-project").get_by_role("button", name="Create project").click()
    owner.page.locator("[data-error-summary]").wait_for()
    faults = each_look(owner.page, "form-refused")
    owner.page.set_viewport_size({"width": 390, "height": 844})
    owner.page.get_by_role("button", name="Open menu").click()
    faults += look(owner.page, "drawer-open", "light", 390)
    assert faults == []


def test_sweep_finds_what_it_looks_for(product: Product, new_person: NewPerson) -> None:
    # Given a page that was spoiled: a picture without a text, a second h1, something too wide
    person = new_person()
    person.go(f"{product.apex}/")
    person.page.evaluate(
        """() => { const page = document.querySelector('#page');
        page.append(document.createElement('img'), document.createElement('h1'));
        page.lastChild.textContent = 'w'.repeat(900);
        page.lastChild.style.whiteSpace = 'nowrap'; }"""
    )
    # When it is looked at, then each fault is told
    faults = " ".join(look(person.page, "spoiled", "light", 1440))
    assert "image-alt" in faults
    assert "2 h1" in faults
    assert "sideways" in faults
