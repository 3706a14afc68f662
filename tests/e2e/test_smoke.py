"""The way of a newcomer: from nothing to a run that can be shown, with scripts and without.

The project that is made on the way is chosen from then on, and every page keeps it.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Frame, expect

from tests.e2e.conftest import NewPerson
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e

MOST_SECONDS = 30.0
CHOSEN = "project=harbour-desk"
WORDS = "Good morning, harbour"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_from_sign_up_to_the_deep_link_of_a_run(
    product: Product, new_person: NewPerson, new_slug: str, scripts: bool
) -> None:
    person = new_person(java_script_enabled=scripts)
    begun = time.monotonic()
    # Given a stranger who has just got an org
    person.found_org(new_slug)
    # When they make a project, an agent in it, and have it do something
    make_project(person, new_slug)
    visited = follow(person)
    register_agent(person)
    if scripts:
        invoke_and_watch(person)
    else:
        invoke_and_wait(person)
    # Then a filter of the list finds the run, and its address leads to it in another tab
    run_url = find_in_the_list(person, scripts=scripts)
    tab = person.context.new_page()
    tab.goto(run_url)
    expect(tab.locator("h1")).to_have_text(WORDS)
    expect(tab.locator("#run-status")).to_have_text("Succeeded")
    seconds = time.monotonic() - begun
    visited.append(tab.url)
    print(f"\nsmoke path, {'with' if scripts else 'without'} scripts: {seconds:.1f} s")
    assert [url for url in visited if CHOSEN not in url] == []
    assert len(visited) >= 8
    assert seconds <= MOST_SECONDS


def follow(person: Person) -> list[str]:
    """The addresses that the tab shows from here on."""
    seen: list[str] = []

    def note(frame: Frame) -> None:
        seen.append(frame.url)

    person.page.on("framenavigated", note)
    return seen


def make_project(person: Person, slug: str) -> None:
    person.page.locator("#nav").get_by_role("link", name="Projects").click()
    person.has_heading("Projects")
    form = person.page.locator("#new-project")
    form.locator("[name=name]").fill("Harbour desk")
    person.press("Create project", within=form)
    person.is_at(f"{person.product.org(slug)}/projects/harbour-desk/?{CHOSEN}")
    expect(person.page.locator("#crumbs .switch")).to_contain_text("Harbour desk")


def register_agent(person: Person) -> None:
    """In three steps: the kind, the details, the check."""
    page = person.page
    page.locator("#nav").get_by_role("link", name="Agents").click()
    person.has_heading("Agents")
    page.locator("main").get_by_role("link", name="New agent", exact=True).click()
    person.has_heading("New agent")
    page.get_by_role("link", name="Built-in skill").click()
    page.get_by_label("Skill").select_option("echo")
    person.fill(name="Parrot", purpose="Repeats what it is told.")
    person.press("Check")
    page.get_by_role("heading", name="What it offers").wait_for()
    person.press("Register agent")
    expect(page.locator("h1")).to_contain_text("Parrot")
    expect(page.locator("#page")).to_contain_text("Harbour desk")


def ask(person: Person) -> None:
    """Fill in the console, for a run in the background."""
    person.page.locator(".head").get_by_role("link", name="Try it").click()
    expect(person.page.get_by_role("heading", name="Call echo")).to_be_visible()
    person.fill(input=f'{{"text": "{WORDS}"}}')
    person.page.locator("[name=mode]").select_option("async")
    person.press("Run")


def invoke_and_watch(person: Person) -> None:
    """The run comes to its end before one's eyes: the page is never loaded again."""
    ask(person)
    result = person.page.locator("#result")
    expect(result).to_contain_text("Succeeded")
    expect(result).to_contain_text(WORDS)
    result.get_by_role("link", name="Open the run").click()
    person.has_heading(WORDS)


def invoke_and_wait(person: Person) -> None:
    """Without scripts the run's page is the answer, and loads itself until that is over."""
    ask(person)
    person.has_heading(WORDS)
    expect(person.page.locator("#run-status")).to_have_text("Succeeded")


def find_in_the_list(person: Person, *, scripts: bool) -> str:
    """Filter the runs by words that one of them has; the address of that run."""
    page = person.page
    page.locator("#nav").get_by_role("link", name="Runs").click()
    person.has_heading("Runs")
    page.locator("#filter-q").fill("harbour")
    if not scripts:
        person.press("Filter")
    page.wait_for_url("**q=harbour**")
    rows = page.locator("#run-results tbody tr")
    expect(rows).to_have_count(1)
    page.locator("#filter-status").select_option("failed")
    if not scripts:
        person.press("Filter")
    expect(page.locator("#run-results")).to_contain_text("No run matches")
    page.go_back()
    expect(rows).to_have_count(1)
    href = rows.locator("a.main").get_attribute("href")
    return f"{page.url.partition('/runs/')[0]}{href}"
