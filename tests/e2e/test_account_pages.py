"""Account pages that show themselves only on the way somewhere, or once a second step is on."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e import totp
from tests.e2e.conftest import NewPerson
from tests.e2e.looking import each_look, finds, sweep
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e

SECOND_STEP = {
    "two-steps-security": "/account/security/",
    "two-steps-codes": "/account/2fa/recovery-codes/",
    "two-steps-codes-new": "/account/2fa/recovery-codes/generate/",
    "two-steps-prove": "/account/2fa/reauthenticate/",
    "two-steps-app-off": "/account/2fa/totp/deactivate/",
}


@finds("account_email_verification_sent", "tenants:dev_mail_detail", "account_confirm_email")
def test_pages_of_a_sign_up(product: Product, new_person: NewPerson, new_slug: str) -> None:
    person = new_person()
    person.go(f"{product.apex}/account/signup/")
    person.fill(name=person.name, email=person.email, password1=person.password)
    person.fill(organization=new_slug)
    person.press("Sign up", within=person.page.locator("main"))
    person.has_heading("Confirm your address")
    faults = each_look(person.page, "signed-up")
    person.open_mail("Confirm your address")
    faults += each_look(person.page, "mail-one")
    person.follow_link()
    person.has_heading("Confirm your address")
    faults += each_look(person.page, "confirm-address")
    assert faults == []


@finds(
    "tenants:provisioning",
    "tenants:security",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_reauthenticate",
    "mfa_deactivate_totp",
    "mfa_authenticate",
)
def test_pages_of_an_account_with_a_second_step(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given a founder whose browser has just proved itself
    person = new_person()
    person.found_org(new_slug)
    person.go(f"{product.apex}/account/2fa/totp/activate/")
    person.fill(password=person.password)
    person.press("Confirm")
    # When they turn on the app
    person.has_heading("Set up an authenticator app")
    found = re.search(r"\b[A-Z2-7]{32}\b", person.page.locator("main").inner_text())
    assert found
    used = totp.code(found.group())
    person.fill(code=used)
    person.press("Turn on")
    person.has_heading("Recovery codes")
    # Then each page that comes with it is whole
    assert each_look(person.page, "two-steps-codes-once") == []
    sweep(person, product.apex, SECOND_STEP | {"org-ready": f"/account/orgs/{new_slug}/"})
    # And so is the one that asks for it
    other = new_person(person.email)
    other.go(f"{product.apex}/account/login/")
    other.give_password()
    other.has_heading("Second step")
    assert each_look(other.page, "two-steps-sign-in") == []


@finds("account_reset_password_from_key", "account_reset_password_from_key_done")
def test_pages_of_a_forgotten_password(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    person = new_person()
    person.found_org(new_slug)
    other = new_person(person.email)
    other.go(f"{product.apex}/account/password/reset/")
    other.fill(email=person.email)
    other.press("Send the link")
    other.open_mail("Choose a new password")
    other.follow_link()
    other.has_heading("Choose a new password")
    faults = each_look(other.page, "reset-password")
    other.fill(password1="another-harbour-72", password2="another-harbour-72")
    other.press("Change password")
    other.page.wait_for_url(re.compile("/done/$"))
    faults += each_look(other.page, "reset-password-done")
    assert faults == []


@finds("orgs_apex:invitation")
def test_pages_of_an_invitation(product: Product, owner: Person, new_person: NewPerson) -> None:
    guest = new_person()
    owner.sign_in("acme")
    owner.invite("acme", guest.email, "viewer")
    owner.go(f"{product.org('acme')}/settings/members/")
    faults = each_look(owner.page, "members-with-invitation")
    guest.open_mail("Join Acme")
    guest.follow_link()
    faults += each_look(guest.page, "invitation")
    owner.go(guest.page.url)
    faults += each_look(owner.page, "invitation-of-another")
    assert faults == []


def test_pages_of_a_suspended_org(
    product: Product, operator: Person, new_person: NewPerson, new_slug: str
) -> None:
    # Given somebody in their org
    member = new_person()
    member.found_org(new_slug)
    # When an operator suspends it
    act(operator, new_slug, "suspend")
    # Then its pages are refused with why, and whom to ask
    for path in ("/", "/runs/", "/settings/"):
        answer = member.page.goto(f"{product.org(new_slug)}{path}")
        assert answer is not None and answer.status == 403
        member.has_heading(f"{new_slug} is suspended")
    expect(member.page.locator("main")).to_contain_text("An operator of this installation")
    faults = each_look(member.page, "suspended")
    # And to a stranger without its name
    stranger = new_person()
    answer = stranger.page.goto(f"{product.org(new_slug)}/")
    assert answer is not None and answer.status == 403
    stranger.has_heading("This organization is suspended")
    faults += each_look(stranger.page, "suspended-to-a-stranger")
    # And once it is resumed, the same session opens it
    act(operator, new_slug, "resume")
    answer = member.page.goto(f"{product.org(new_slug)}/")
    assert answer is not None and answer.status == 200
    member.has_heading("Overview")
    assert faults == []


def act(operator: Person, slug: str, action: str) -> None:
    """Do it to one org, in the operators' list of them."""
    page = operator.go(f"{operator.product.apex}/admin/tenants/org/?q={slug}")
    page.locator("#result_list tbody input[type=checkbox]").check()
    page.locator("select[name=action]").select_option(action)
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator(".messagelist")).to_be_visible()


def test_pages_of_an_org_that_is_being_closed(
    product: Product, new_person: NewPerson, new_slug: str
) -> None:
    # Given an owner who closes their org
    person = new_person()
    person.found_org(new_slug)
    person.go(f"{product.org(new_slug)}/settings/danger/")
    person.fill(name=new_slug)
    person.press("Close organization", within=person.page.locator("main"))
    person.prove_if_asked("Close organization", done="You are signed out")
    # Then its address says so
    answer = person.page.goto(f"{product.org(new_slug)}/")
    assert answer is not None and answer.status == 403
    person.has_heading("This organization is being closed")
    faults = each_look(person.page, "closing")
    # And the account undoes it
    person.go(f"{product.apex}/account/")
    if person.page.get_by_role("heading", level=1, name="Sign in").count():
        person.give_password()
    person.has_heading("Your organizations")
    faults += each_look(person.page, "home-closing")
    person.press(f"Undo the closing of {new_slug}")
    person.page.get_by_role("link", name=f"Open {new_slug}").click()
    person.has_heading("Overview")
    assert faults == []
