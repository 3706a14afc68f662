"""The frame around the pages in a browser: choosing a project, the palette, the keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewPerson
from tests.e2e.person import DEMO_PASSWORD, Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


def choose(page: Page, slug: str) -> None:
    page.locator("[popovertarget=menu-project]").click()
    page.locator(f"#menu-project [data-project='{slug}']").click()


def selected(page: Page) -> str:
    return page.locator("#palette [aria-selected=true]").inner_text().split("\n")[0]


def test_a_project_is_chosen_with_the_filter_that_the_address_bar_holds(
    product: Product, owner: Person
) -> None:
    org, page = product.org("acme"), owner.page
    owner.sign_in("acme", path="/runs/")
    page.locator("#filter-q").fill("parcel")
    page.wait_for_url("**q=parcel**")
    choose(page, "support")
    page.wait_for_url("**project=support**")
    assert "q=parcel" in page.url
    expect(page.locator("#crumbs .switch")).to_contain_text("Support")

    page.locator("#nav").get_by_role("link", name="Agents").click()
    owner.is_at(f"{org}/agents/?project=support")
    page.get_by_role("link", name="Echo", exact=True).click()
    owner.is_at(f"{org}/agents/echo/?project=support")
    choose(page, "")
    owner.is_at(f"{org}/agents/")


def test_the_palette_filters_at_once_and_finds_what_the_server_knows(
    product: Product, owner: Person
) -> None:
    org, page = product.org("acme"), owner.page
    owner.sign_in("acme", path="/?project=support")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-query")).to_be_focused()
    page.keyboard.type("memb")
    assert selected(page) == "Members"
    found = page.locator("#palette-found [role=option]")
    expect(found.filter(has_text="Acme member")).to_be_visible()
    assert selected(page) == "Members"

    page.keyboard.press("Control+a")
    page.keyboard.type("calcul")
    expect(page.locator("#palette-found [role=option]").first).to_contain_text("Calculator")
    assert selected(page) == "Calculator"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    owner.is_at(f"{org}/agents/calculator/?project=support")
    expect(page.locator("#palette")).not_to_be_visible()

    page.locator("#find").click()
    page.keyboard.type("zzzz")
    expect(page.locator("#palette-none")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).not_to_be_visible()


def test_the_keyboard_leads_about_and_can_be_turned_off(product: Product, owner: Person) -> None:
    org, page = product.org("acme"), owner.page
    owner.sign_in("acme")
    for letter, path in (("a", "/agents/"), ("m", "/settings/members/"), ("k", "/settings/keys/")):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        owner.is_at(f"{org}{path}")
    page.keyboard.press("g")
    page.keyboard.press("a")
    owner.is_at(f"{org}/agents/")
    expect(page.locator("#page")).to_be_focused()
    first = page.locator("#agent-results a.main").first.get_attribute("href")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    owner.is_at(f"{org}{first}")
    expect(page.locator("#page")).to_be_focused()
    page.keyboard.press("e")
    owner.is_at(f"{org}{first}settings/")

    owner.go(f"{org}/agents/")
    page.keyboard.press("/")
    expect(page.locator("#filter-q")).to_be_focused()
    page.keyboard.type("g a ?")
    page.wait_for_url(f"{org}/agents/?q=g**")
    page.locator("h1").click()
    page.keyboard.press("?")
    page.locator("#shortcuts-on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).not_to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()


def test_a_form_is_sent_from_its_field(product: Product, owner: Person) -> None:
    page = owner.page
    owner.sign_in("acme", path="/agents/echo/try/")
    page.locator("[name=input]").fill('{"text": "By keyboard"}')
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result")).to_contain_text("By keyboard")
    owner.go(f"{product.org('acme')}/projects/support/")
    page.keyboard.press("e")
    expect(page.locator("#project-form [name=name]")).to_be_focused()
    page.keyboard.press("Control+s")
    expect(page.locator("#toasts")).to_contain_text("Your changes were saved.")


def test_a_project_is_made_from_the_switcher_and_chosen(product: Product, owner: Person) -> None:
    org, page = product.org("acme"), owner.page
    owner.sign_in("acme", path="/runs/")
    page.locator("[popovertarget=menu-project]").click()
    page.locator("#menu-project").get_by_role("link", name="New project").click()
    expect(page.locator("#new-project [name=name]")).to_be_focused()
    page.keyboard.type("From the shell")
    page.keyboard.press("Enter")
    owner.is_at(f"{org}/projects/from-the-shell/?project=from-the-shell")
    expect(page.locator("#crumbs .switch")).to_contain_text("From the shell")


def test_without_scripts_search_and_the_choice_are_links(
    product: Product, new_person: NewPerson
) -> None:
    org = product.org("acme")
    person = new_person("owner@acme.example", password=DEMO_PASSWORD, java_script_enabled=False)
    person.sign_in("acme", path="/agents/")
    page = person.page
    choose(page, "support")
    person.is_at(f"{org}/agents/?project=support")
    page.locator("#find").click()
    person.is_at(f"{org}/search/?project=support")
    page.locator("main [name=q]").fill("calculator")
    person.press("Search")
    person.is_at(f"{org}/search/?project=support&q=calculator")
    page.get_by_role("link", name="Calculator", exact=True).click()
    person.is_at(f"{org}/agents/calculator/?project=support")
    page.locator("#system").click()
    person.has_heading("System status")


def test_the_state_of_the_system_comes_by_itself(product: Product, owner: Person) -> None:
    owner.sign_in("acme")
    expect(owner.page.locator("#system")).to_contain_text("All systems normal")


def test_a_chosen_theme_stays(product: Product, owner: Person) -> None:
    org, page = product.org("acme"), owner.page
    page.emulate_media(color_scheme="light")
    owner.sign_in("acme")

    def is_dark() -> bool:
        ink = page.evaluate("getComputedStyle(document.body).color.match(/[\\d.]+/g)")
        return min(float(part) for part in ink[:3]) > 150

    def choose_theme(name: str) -> None:
        owner.press("Your menu")
        owner.press(name)
        page.keyboard.press("Escape")

    assert not is_dark()
    choose_theme("Dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert is_dark()
    page.reload()
    assert is_dark()
    page.locator("#nav").get_by_role("link", name="Runs").click()
    owner.is_at(f"{org}/runs/")
    assert is_dark()
    owner.page = page = owner.context.new_page()
    page.emulate_media(color_scheme="light")
    owner.go(f"{org}/agents/")
    assert is_dark()
    choose_theme("System")
    assert not is_dark()
    page.emulate_media(color_scheme="dark")
    assert is_dark()
    page.reload()
    assert is_dark()


def test_on_a_phone_the_switcher_and_the_search_are_at_hand(
    product: Product, owner: Person
) -> None:
    org, page = product.org("acme"), owner.page
    page.set_viewport_size({"width": 390, "height": 844})
    owner.sign_in("acme", path="/agents/")
    choose(page, "support")
    owner.is_at(f"{org}/agents/?project=support")
    page.locator("#find-top").click()
    expect(page.locator("#palette-query")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open menu").click()
    expect(page.locator("#side")).to_be_visible()
    page.locator("#nav").get_by_role("link", name="Runs").click()
    owner.is_at(f"{org}/runs/?project=support")
    expect(page.locator("#side")).not_to_be_visible()
    page.get_by_role("button", name="Open menu").click()
    expect(page.locator("#side")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#side")).not_to_be_visible()
    expect(page.get_by_role("button", name="Open menu")).to_be_focused()
