"""A person with a browser: the steps that several tests take, and what the browser disliked."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    expect,
)

from tests.e2e.product import Product

PASSWORD = "quiet-harbour-71"
DEMO_PASSWORD = "mandate-demo"
# The browser's echo of a response that `_on_response` judges by itself.
ECHO = "Failed to load resource: the server responded"
# What the policy forbids is said in the console too, whatever the browser itself says there.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
  `policy: ${event.effectiveDirective} forbids ${event.blockedURI || "this"}`));
"""


@dataclass
class Person:
    """One browser context, and who sits before it."""

    product: Product
    context: BrowserContext
    email: str
    name: str = "Robin Vale"
    password: str = PASSWORD
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("request", self._on_request)
        self.context.on("response", self._on_response)
        self.context.add_init_script(TELL_VIOLATIONS)
        self.page: Page = self.context.new_page()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(ECHO):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _on_request(self, request: Request) -> None:
        """Nothing of a page comes from elsewhere, and nothing of it goes there."""
        if not self.product.serves(request.url):
            self.complaints.append(f"{self.page.url} asks {urlsplit(request.url).netloc}")

    def _on_response(self, response: Response) -> None:
        """A missing script or picture is a fault; a refused page may be what a test is about."""
        is_page = response.request.resource_type in ("document", "xhr", "fetch")
        if response.status >= (500 if is_page else 400):
            self.complaints.append(f"{response.status} {response.url}")

    # Small steps

    def go(self, url: str) -> Page:
        self.page.goto(url)
        return self.page

    def fill(self, **values: str) -> None:
        """Type into the fields of the page by their names in the form."""
        for name, value in values.items():
            self.page.locator(f"main [name={name}]").fill(value)

    def press(self, name: str, *, within: Locator | None = None) -> None:
        """Press the one button of this name."""
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def has_heading(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    def is_at(self, url: str) -> None:
        """Wait for this very address, and until what its scripts do can be used."""
        expect(self.page).to_have_url(url)
        self.page.wait_for_load_state()

    # Mail

    def open_mail(self, subject: str) -> None:
        """Open the newest mail to this person with that subject, as soon as it is there."""
        item = self.page.locator("li", has_text=f"To {self.email}").filter(
            has_text=re.compile(subject)
        )
        for _ in range(60):
            self.go(f"{self.product.apex}/dev/mail/")
            if item.count():
                break
            time.sleep(0.25)
        item.first.get_by_role("link").click()
        self.has_heading(re.compile(subject))

    def follow_link(self) -> None:
        """Follow the mail's first link to a page."""
        self.page.locator("pre a[href^=http]").first.click()
        self.page.wait_for_url(lambda url: "/dev/mail/" not in url)

    # Coming in

    def sign_up(self, *, organization: str = "") -> None:
        """Fill the form of the page that is open, and confirm the address by the mail."""
        self.fill(name=self.name, email=self.email, password1=self.password)
        if organization:
            self.fill(organization=organization)
        self.press("Sign up", within=self.page.locator("main"))
        self.has_heading("Confirm your address")
        self.open_mail("Confirm your address")
        self.follow_link()
        self.has_heading("Confirm your address")

    def confirm(self) -> None:
        self.press("Confirm address")
        self.page.wait_for_url(lambda url: "confirm-email" not in url)

    def found_org(self, organization: str) -> float:
        """Become the owner of a new org; the seconds from confirming to its open page."""
        self.go(f"{self.product.apex}/account/signup/")
        self.sign_up(organization=organization)
        begun = time.monotonic()
        self.confirm()
        self.wait_for_org()
        return time.monotonic() - begun

    def wait_for_org(self) -> None:
        """From the progress page into the workspace; without scripts, by the link that it shows."""
        opener = self.page.get_by_role("link", name=re.compile("^Open( |$)"))
        heading = self.page.get_by_role("heading", level=1, name="Overview")
        for _ in range(240):
            expect(self.page.locator("h1")).to_have_count(1)
            if heading.count():
                return
            if opener.count():
                opener.first.click()
                expect(heading).to_be_visible(timeout=20_000)
                return
            time.sleep(0.25)
        raise AssertionError(f"no org at {self.page.url}")

    def sign_in(self, slug: str, *, path: str = "/") -> None:
        """Ask for a page of the org and end there, by way of the sign-in on the apex."""
        self.go(f"{self.product.org(slug)}{path}")
        self.has_heading("Sign in")
        self.give_password()
        self.is_at(f"{self.product.org(slug)}{path}")

    def give_password(self) -> None:
        self.fill(login=self.email, password=self.password)
        self.press("Sign in", within=self.page.locator("main"))

    def create_project(self, slug: str, name: str) -> None:
        self.go(f"{self.product.org(slug)}/projects/")
        form = self.page.locator("#new-project")
        form.locator("[name=name]").fill(name)
        self.press("Create project", within=form)
        expect(self.page.locator("main")).to_contain_text(name)

    def invite(self, slug: str, email: str, role: str) -> None:
        self.go(f"{self.product.org(slug)}/settings/members/")
        form = self.page.locator("#invite")
        form.locator("[name=email]").fill(email)
        form.locator("[name=role]").select_option(role)
        self.press("Send invitation", within=form)
        expect(self.page.locator("main")).to_contain_text(email)

    def prove_if_asked(self, act: str, *, done: str) -> None:
        """Come to the page `done`, by way of the password where a fresh proof is asked for."""
        asked = "Confirm that it is you"
        self.has_heading(re.compile(rf"^({re.escape(done)}|{asked})\s*$"))
        if self.page.get_by_role("heading", level=1, name=asked).count():
            with self.page.expect_navigation():
                self.page.get_by_role("link", name="Confirm", exact=True).click()
            if "/reauthenticate/" in self.page.url:  # nothing on the apex is fresh enough
                self.fill(password=self.password)
                self.press("Confirm")
            self.has_heading("Confirmed")
            self.press(act)
        self.has_heading(done)

    def create_key(self, slug: str, name: str) -> str:
        """Make an API key in the page; the token that is shown once."""
        self.go(f"{self.product.org(slug)}/settings/keys/")
        form = self.page.locator("#new-key")
        form.locator("[name=name]").fill(name)
        self.press("Create key", within=form)
        self.prove_if_asked("Create key", done=name)
        shown = self.page.locator("main").inner_text()
        found = re.search(r"mnd_\w+", shown)
        assert found, shown
        return found.group()
