"""Passkeys in a real browser, whose authenticator is virtual: added, used, asked for, replaced."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import CDPSession, expect

from tests.e2e.conftest import NewPerson
from tests.e2e.looking import each_look, finds
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e

MAIN = "main"


@dataclass
class Device:
    """A phone with a screen lock, as Chromium plays it (CDP, domain WebAuthn)."""

    session: CDPSession
    id: str

    def credentials(self) -> list[dict[str, Any]]:
        found = self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.id})
        return list(found["credentials"])

    def refuse(self) -> None:
        """The person cancels from now on: their finger isn't recognised."""
        state = {"authenticatorId": self.id, "isUserVerified": False}
        self.session.send("WebAuthn.setUserVerified", state)

    def give_to(self, person: Person) -> Device:
        """The same phone before another browser of the person."""
        other = attach(person)
        for credential in self.credentials():
            other.session.send(
                "WebAuthn.addCredential", {"authenticatorId": other.id, "credential": credential}
            )
        return other


def attach(person: Person) -> Device:
    session = person.context.new_cdp_session(person.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return Device(session, made["authenticatorId"])


@dataclass
class Founded:
    """A person with an org, a passkey, and the recovery codes that came with it."""

    person: Person
    slug: str
    device: Device
    codes: list[str]


@pytest.fixture
def founded(new_person: NewPerson, new_slug: str) -> Founded:
    person = new_person()
    person.found_org(new_slug)
    device = attach(person)
    return Founded(person, new_slug, device, add_passkey(person, "Pocket phone"))


def add_passkey(person: Person, name: str) -> list[str]:
    """Add one from the security page; the recovery codes that are shown once."""
    person.go(f"{person.product.apex}/account/security/")
    person.has_heading(re.compile("Security"))
    person.page.get_by_role("link", name="Add a passkey").click()
    if "reauthenticate" in person.page.url:
        person.fill(password=person.password)
        person.press("Confirm")
    person.has_heading("Add a passkey")
    person.fill(name=name)
    person.press("Create passkey")
    person.has_heading("Recovery codes")
    return person.page.locator("pre").inner_text().split()


def with_passkey(person: Person, slug: str) -> None:
    """Ask for the org and sign in with the passkey alone."""
    person.go(f"{person.product.org(slug)}/")
    person.has_heading("Sign in")
    person.press("Sign in with a passkey")


def test_a_passkey_replaces_the_password(
    product: Product, new_person: NewPerson, founded: Founded
) -> None:
    # Given a person with a passkey, whose key is one for the apex alone
    [credential] = founded.device.credentials()
    assert (credential["rpId"], credential["isResidentCredential"]) == ("localhost", True)
    # When they sign out
    founded.person.go(f"{product.org(founded.slug)}/")
    founded.person.press("Your menu")
    founded.person.press("Sign out")
    founded.person.has_heading("You are signed out")
    # Then the passkey alone leads back into the org, and counts as fresh proof
    with_passkey(founded.person, founded.slug)
    founded.person.is_at(f"{product.org(founded.slug)}/")
    assert founded.person.create_key(founded.slug, "By passkey").startswith("mnd_")
    # And a browser without it is told so and stays outside
    stranger = new_person(founded.person.email)
    attach(stranger)
    with_passkey(stranger, founded.slug)
    expect(stranger.page.get_by_role("alert")).to_contain_text("Nothing was changed")
    stranger.has_heading("Sign in")


@finds("confirm", "mfa_reauthenticate_webauthn")
def test_a_key_asks_for_the_passkey_and_loses_nothing(product: Product, founded: Founded) -> None:
    # Given a person who has proved themselves by nothing but the password
    person = founded.person
    person.go(f"{product.org(founded.slug)}/settings/keys/")
    form = person.page.locator("#new-key")
    form.locator("[name=name]").fill("Nightly import")
    form.locator("[name=scopes]").first.check()
    scope = form.locator("[name=scopes]").first.get_attribute("value")
    # When they make a key
    person.press("Create key", within=form)
    # Then they are asked for the passkey; no key was made
    person.has_heading("Confirm that it is you")
    expect(person.page.locator(MAIN)).to_contain_text("Nightly import")
    assert each_look(person.page, "confirm") == []
    person.page.set_viewport_size({"width": 1440, "height": 900})
    person.page.get_by_role("link", name="Confirm", exact=True).click()
    person.page.wait_for_url(re.compile("webauthn/reauthenticate"))
    assert each_look(person.page, "prove-by-passkey") == []
    # When the finger isn't theirs, they are told and can try again
    founded.device.refuse()
    person.press("Use a passkey")
    expect(person.page.get_by_role("alert")).to_contain_text("Nothing was changed")
    state = {"authenticatorId": founded.device.id, "isUserVerified": True}
    founded.device.session.send("WebAuthn.setUserVerified", state)
    person.press("Use a passkey")
    # Then the form is back as it was, and is sent again by one press
    person.is_at(f"{product.org(founded.slug)}/confirm/")
    person.has_heading("Confirmed")
    assert each_look(person.page, "confirmed") == []
    expect(person.page.locator(MAIN)).to_contain_text(str(scope))
    person.press("Create key")
    person.has_heading("Nightly import")
    expect(person.page.locator(MAIN)).to_contain_text("mnd_")
    # And for some minutes nothing more is asked
    assert person.create_key(founded.slug, "At once").startswith("mnd_")


@finds("mfa_authenticate", "mfa_remove_webauthn")
def test_a_recovery_code_stands_in_for_a_lost_device(
    product: Product, new_person: NewPerson, founded: Founded
) -> None:
    # Given a person who kept the codes by the button and lost the phone
    person = founded.person
    assert len(set(founded.codes)) == 10
    with person.page.expect_download() as download:
        person.page.get_by_role("link", name="Download").click()
    kept = download.value.path().read_text().split()
    assert kept == founded.codes
    person.page.reload()
    expect(person.page.locator("pre")).to_have_count(0)
    # When they sign in with the password and a code in another browser
    other = new_person(person.email)
    other.go(f"{product.org(founded.slug)}/")
    other.give_password()
    other.has_heading("Second step")
    assert each_look(other.page, "second-step") == []
    other.fill(code=kept[0])
    other.press("Sign in", within=other.page.locator(MAIN))
    # Then they are in, and may take the lost passkey off with another code
    other.is_at(f"{product.org(founded.slug)}/")
    other.go(f"{product.apex}/account/security/")
    expect(other.page.locator(MAIN)).to_contain_text("9 left")
    other.page.get_by_role("link", name="Remove the passkey Pocket phone").click()
    other.page.wait_for_url(re.compile("webauthn/reauthenticate"))
    other.page.get_by_role("link", name="Use a code").click()
    other.fill(code=kept[1])
    other.press("Confirm")
    other.has_heading("Remove Pocket phone?")
    assert each_look(other.page, "passkey-remove") == []
    other.press("Remove passkey")
    expect(other.page.locator(MAIN)).to_contain_text("No passkey yet")


@finds("tenants:security", "mfa_edit_webauthn")
def test_a_passkey_is_a_second_step_too_and_can_be_renamed(
    product: Product, new_person: NewPerson, founded: Founded
) -> None:
    other = new_person(founded.person.email)
    founded.device.give_to(other)
    other.go(f"{product.apex}/account/login/")
    other.give_password()
    other.has_heading("Second step")
    other.press("Use a passkey")
    other.has_heading("Your organizations")
    other.go(f"{product.apex}/account/security/")
    assert each_look(other.page, "security-with-passkey") == []
    other.page.set_viewport_size({"width": 1440, "height": 900})
    other.page.get_by_role("link", name="Rename the passkey Pocket phone").click()
    other.page.wait_for_url(re.compile("webauthn/reauthenticate"))
    other.press("Use a passkey")
    other.has_heading("Rename a passkey")
    assert each_look(other.page, "passkey-rename") == []
    other.fill(name="Blue phone")
    other.press("Save name")
    expect(other.page.locator(MAIN)).to_contain_text("Blue phone")


def test_without_scripts_all_but_the_ceremony_works(
    product: Product, new_person: Callable[..., Person], new_slug: str
) -> None:
    person = new_person(java_script_enabled=False)
    person.found_org(new_slug)
    person.go(f"{product.apex}/account/security/")
    expect(person.page.locator(MAIN)).to_contain_text("Passkeys need JavaScript")
    person.page.get_by_role("link", name="Add a passkey").click()
    person.fill(password=person.password)
    person.press("Confirm")
    person.has_heading("Add a passkey")
    expect(person.page.locator(MAIN)).to_contain_text("Passkeys need JavaScript")
    expect(person.page.get_by_role("button", name="Create passkey")).to_have_count(0)
    # Step-up by password needs no script either.
    assert person.create_key(new_slug, "No scripts").startswith("mnd_")
