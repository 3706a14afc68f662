"""The editor that code is typed in: what keys do, what it shows, and the way out of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person

pytestmark = pytest.mark.e2e


def test_code_is_typed_coloured_and_sent(owner: Person) -> None:
    # Given the editor of a console
    owner.sign_in("acme", path="/agents/echo/try/")
    page, area = owner.page, owner.page.locator("main [name=input]")
    editor = page.locator(".editor.on")
    # When somebody clicks into it and types
    area.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("{")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type('"text": true,')
    page.keyboard.press("Enter")
    page.keyboard.type("oops")
    # Then Tab indents, a new line keeps the indent, and the colours say what is what
    expect(area).to_have_value('{\n  "text": true,\n  oops')
    expect(editor.locator(".hl-nt")).to_have_text('"text"')
    expect(editor.locator(".hl-kc")).to_have_text("true")
    expect(editor.locator(".editor-numbers li")).to_have_count(3)
    # And what was typed can be undone
    page.keyboard.press("Control+Z")
    expect(area).not_to_have_value('{\n  "text": true,\n  oops')
    page.keyboard.press("Control+Shift+Z")
    # When it is sent from the keyboard, then the line that is wrong is marked
    page.keyboard.press("Control+Enter")
    expect(editor.locator(".editor-numbers .wrong")).to_have_text("3")
    assert owner.complaints == []


def test_the_keyboard_gets_out_of_it(owner: Person) -> None:
    owner.sign_in("acme", path="/agents/echo/try/")
    page, area = owner.page, owner.page.locator("main [name=input]")
    typed = area.input_value()
    # By the keyboard in, by the keyboard out
    area.focus()
    page.keyboard.press("Tab")
    expect(area).not_to_be_focused()
    # By a click in, by Escape and Tab out
    area.click()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(area).not_to_be_focused()
    expect(area).to_have_value(typed)


def test_what_was_typed_for_an_agent_survives_going_back(owner: Person) -> None:
    # Given somebody who typed at the second step
    owner.sign_in("acme", path="/agents/new/details/?runtime=http")
    owner.fill(name="Order desk", purpose="Looks orders up.", headers="x-region: eu")
    # When they go back to choose another kind, and then the first again
    owner.press("Back to the kind")
    owner.page.get_by_role("button", name="Built-in skill").click()
    expect(owner.page.locator("main [name=purpose]")).to_have_value("Looks orders up.")
    owner.press("Back to the kind")
    owner.page.get_by_role("button", name="Your own endpoint").click()
    # Then everything is as they left it
    expect(owner.page.locator("main [name=name]")).to_have_value("Order desk")
    expect(owner.page.locator("main [name=headers]")).to_have_value("x-region: eu")
