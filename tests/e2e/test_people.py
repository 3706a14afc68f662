"""Strangers, colleagues and the demo login: from the front page to the workspace and out again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e import totp
from tests.e2e.conftest import NewPerson
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


def test_stranger_gets_an_org_and_a_key_that_opens_only_it(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given a stranger
    stranger = new_person()
    # When they sign up and confirm their address
    seconds = stranger.found_org(new_slug)
    print(f"\nfrom confirming to the org's open page: {seconds:.2f} s")
    # Then they are in their own org, as its owner
    stranger.is_at(f"{product.org(new_slug)}/")
    # When they make a project and a key
    stranger.create_project(new_slug, "First harbour")
    key = stranger.create_key(new_slug, "Nightly import")
    # Then the key works on the apex and on its own host, and nowhere else
    status, me = product.api_status("/v1/me", key=key)
    assert (status, me["org"]["slug"]) == (200, new_slug)  # type: ignore[index]
    assert product.api_status("/v1/me", key=key, slug=new_slug)[0] == 200
    status, problem = product.api_status("/v1/me", key=key, slug="acme")
    assert (status, problem["status"]) == (401, 401)
    # And the page doesn't show it again
    stranger.go(f"{product.org(new_slug)}/settings/keys/")
    assert key not in stranger.page.content()


def test_a_role_of_the_orgs_own_opens_exactly_what_it_holds(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given a role that sees what a viewer sees, except projects
    host = new_person()
    host.found_org(new_slug)
    org = product.org(new_slug)
    page = host.go(f"{org}/settings/roles/new/?from=viewer")
    host.fill(name="Auditor")
    page.get_by_label("See projects", exact=True).uncheck()
    host.press("Create role")
    host.prove_if_asked("Create role Auditor", done="Auditor")
    # When somebody joins who is invited to it
    guest = new_person()
    host.invite(new_slug, guest.email, "auditor")
    _join(guest, new_slug)
    # Then they see the runs, and of projects who could let them
    guest.go(f"{org}/runs/")
    guest.has_heading("Runs")
    nav = guest.page.locator("#nav")
    expect(nav.get_by_role("link", name="Members")).to_have_count(1)
    expect(nav.get_by_role("link", name="Projects")).to_have_count(0)
    guest.go(f"{org}/projects/")
    guest.has_heading("You may not do this")
    expect(guest.page.locator("main")).to_contain_text("projects.view: see projects")
    expect(guest.page.locator("main")).to_contain_text("you are Auditor")
    expect(guest.page.get_by_role("link", name="What each role may do")).to_be_visible()
    # And as soon as the role holds it, they see projects too
    host.go(f"{org}/settings/roles/auditor/").get_by_label("See projects", exact=True).check()
    host.press("Save changes")
    expect(host.page.get_by_text("Your changes were saved.").first).to_be_visible()
    guest.go(f"{org}/projects/")
    guest.has_heading("Projects")


def test_colleague_joins_by_invitation_and_leaves_by_removal(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given an owner who has invited somebody as a viewer
    host = new_person()
    host.found_org(new_slug)
    guest = new_person()
    host.invite(new_slug, guest.email, "viewer")
    # When the guest opens the mail, signs up, confirms and accepts
    _join(guest, new_slug)
    # Then they can enter the org's host, and see nothing to administer
    guest.go(f"{product.org(new_slug)}/settings/members/")
    guest.has_heading("Members")
    for control in ("Send invitation", "Set the role of Robin Vale", "Remove Robin Vale"):
        expect(guest.page.get_by_role("button", name=control)).to_have_count(0)
    guest.go(f"{product.org(new_slug)}/projects/")
    expect(guest.page.get_by_role("button", name="Create project")).to_have_count(0)
    expect(host.go(f"{product.org(new_slug)}/projects/").locator("#new-project")).to_be_visible()
    # When the owner removes them
    _remove(host, new_slug, guest.email)
    # Then their next click ends at a page of nothing, and so does the org's address
    guest.page.get_by_role("link", name="Overview", exact=True).first.click()
    guest.has_heading("There is nothing here")
    guest.go(f"{product.org(new_slug)}/")
    guest.has_heading("There is nothing here")


def _join(guest: Person, slug: str) -> None:
    guest.open_mail(f"Join {slug}")
    guest.follow_link()
    guest.page.get_by_role("link", name="Sign up and join").click()
    guest.sign_up()
    guest.confirm()
    if "/invitations/" not in guest.page.url:
        guest.open_mail(f"Join {slug}")
        guest.follow_link()
    guest.press("Accept invitation")
    guest.has_heading("Your organizations")
    guest.page.get_by_role("link", name=f"Open {slug}").click()
    guest.has_heading("Overview")


def _remove(host: Person, slug: str, email: str) -> None:
    host.go(f"{host.product.org(slug)}/settings/members/")
    row = host.page.get_by_role("row").filter(has_text=email)
    row.get_by_role("button", name=re.compile("^Remove ")).click()
    host.press("Remove member", within=row)
    expect(host.page.get_by_role("row").filter(has_text=email)).to_have_count(0)


def test_signing_out_ends_the_session_on_every_host(product: Product, owner: Person) -> None:
    # Given the demo owner, signed in through the org's address, with its page open twice
    owner.sign_in("acme")
    owner.has_heading("Overview")
    owner.go(f"{product.apex}/account/")
    owner.has_heading("Your organizations")
    # When they sign out in the workspace
    owner.go(f"{product.org('acme')}/")
    owner.press("Your menu")
    owner.press("Sign out")
    owner.has_heading("You are signed out")
    # Then neither the org nor the apex knows them
    owner.go(f"{product.org('acme')}/")
    owner.has_heading("Sign in")
    owner.go(f"{product.apex}/account/")
    owner.has_heading("Sign in")


def test_switching_to_another_org_needs_no_second_sign_in(
    product: Product, owner: Person, new_slug: str
) -> None:
    # Given the demo owner with a second org
    owner.sign_in("acme")
    owner.go(f"{product.apex}/account/orgs/new/")
    owner.fill(name=new_slug)
    owner.press("Create organization")
    owner.wait_for_org()
    # When they switch by the menu of the workspace
    owner.page.locator("button.org-switch").click()
    owner.page.locator("#menu-org").get_by_role("link", name="Acme").click()
    # Then they are in the other org
    owner.is_at(f"{product.org('acme')}/")
    owner.has_heading("Overview")


def test_all_works_without_scripts(product: Product, new_person: NewPerson, new_slug: str) -> None:
    # Given a browser that runs no scripts
    person = new_person(java_script_enabled=False)
    # When a stranger founds an org with it, then makes a project and signs out
    person.found_org(new_slug)
    person.create_project(new_slug, "No scripts at all")
    person.press("Your menu")
    person.press("Sign out")
    person.has_heading("You are signed out")
    # Then they can sign in again and find it
    person.sign_in(new_slug, path="/projects/")
    expect(person.page.get_by_role("link", name="No scripts at all")).to_be_visible()


def test_second_step_guards_the_sign_in(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given a person with an authenticator app and recovery codes
    person = new_person()
    person.found_org(new_slug)
    secret, used = _enrol(person)
    recovery = _recovery_codes(person)[0]
    # When they sign in through their org's address in another browser
    other = new_person(person.email)
    other.go(f"{product.org(new_slug)}/")
    other.give_password()
    # Then the password alone isn't enough
    other.has_heading("Second step")
    other.fill(code="000000")
    other.press("Sign in", within=other.page.locator("main"))
    expect(other.page.locator("main .errors")).to_have_text("Incorrect code.")
    # And the app's code is
    other.fill(code=totp.wait_for_next(used, secret))
    other.press("Sign in", within=other.page.locator("main"))
    other.is_at(f"{product.org(new_slug)}/")
    # And so is a recovery code, once
    third = new_person(person.email)
    third.go(f"{product.org(new_slug)}/")
    third.give_password()
    third.fill(code=recovery)
    third.press("Sign in", within=third.page.locator("main"))
    third.is_at(f"{product.org(new_slug)}/")


def _enrol(person: Person) -> tuple[str, str]:
    """Set up the app; its secret and the code that was used."""
    person.go(f"{person.product.apex}/account/2fa/")
    person.page.get_by_role("link", name="Set up an authenticator app").click()
    _prove(person)
    person.has_heading("Set up an authenticator app")
    text = person.page.locator("main").inner_text()
    found = re.search(r"\b[A-Z2-7]{32}\b", text)
    assert found, text
    code = totp.code(found.group())
    person.fill(code=code)
    person.press("Turn on")
    person.page.wait_for_url(lambda url: "activate" not in url)
    return found.group(), code


def _prove(person: Person) -> None:
    """Give the password again where it is asked for: who came by a mail's link has given none."""
    person.page.wait_for_url(re.compile("reauthenticate|activate|recovery-codes"))
    if person.page.get_by_role("heading", name="Confirm that it is you").count():
        person.fill(password=person.password)
        person.press("Confirm")


def _recovery_codes(person: Person) -> list[str]:
    """Those that come with the first factor, on the one page that shows them."""
    person.has_heading("Recovery codes")
    codes = person.page.locator("pre").inner_text().split()
    assert len(set(codes)) == 10
    return codes


def test_signing_out_elsewhere_ends_the_other_browser(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given a person who is signed in with two browsers
    here = new_person()
    here.found_org(new_slug)
    there = new_person(here.email)
    there.sign_in(new_slug)
    here.go(f"{product.apex}/account/sessions/")
    here.has_heading("Sessions")
    expect(here.page.locator("main section li")).to_have_count(2)
    # When they sign out everywhere else
    here.press("Sign out everywhere else")
    expect(here.page.locator("main section li")).to_have_count(1)
    # Then the other browser is out on both hosts, and this one isn't
    there.go(f"{product.org(new_slug)}/")
    there.has_heading("Sign in")
    here.go(f"{product.org(new_slug)}/")
    here.has_heading("Overview")
