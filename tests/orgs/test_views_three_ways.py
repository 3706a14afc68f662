"""Every page of an org three ways: whole, in part, and in a browser without scripts.

The URLconf says which pages there are (test_views_matrix.py); a page whose part isn't said here
fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from django.urls import Resolver404, resolve

from tests.markup import Element, elements
from tests.orgs.test_views_matrix import DOCUMENTS, url_of
from tests.tenants.browsing import Browser, is_page, is_part

# Pages that change as a whole: they have no part that htmx would ask for.
WHOLE = {
    "confirm",
    *("agents:agent", "agents:manifest", "agents:models", "agents:provider"),
    *("notify:preferences", "notify:channels", "notify:org_channels"),
    *("orgs:domains", "orgs:roles", "orgs:role_new", "orgs:role", "orgs:member_groups"),
    *("orgs:settings_danger", "orgs:settings_general"),
    *("orgs:signing_keys", "orgs:audit_entry"),
}
# A page that asks for its own part until nothing changes any more is told so (htmx: 286).
PARTS = {"runs:run": 286}
BY_SCRIPTS = {"needs-js", "menu-btn", "scrim"}
"""Classes of what is shown only where scripts run (static/ui/ui.css)."""
BY_ITSELF = ("load", "every", "sse:", "revealed", "from:body")
"""What makes htmx ask without anybody's doing: a page without scripts shows its state as it was."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_comes_whole_or_in_part(browser: Browser, refs: dict[str, Any], name: str) -> None:
    url = url_of(name, refs)
    whole = browser.get(url)
    boosted = browser.get(url, HX_Request="true", HX_Boosted="true")
    part = browser.part(url)

    assert [whole.status_code, boosted.status_code] == [200, 200]
    assert part.status_code == PARTS.get(name, 200)
    assert is_page(whole)
    assert is_page(boosted)
    assert is_page(part) if name in WHOLE else is_part(part)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_page_without_a_part_never_asks_for_one(
    browser: Browser, refs: dict[str, Any], name: str
) -> None:
    url = url_of(name, refs)
    asked = [found.get("hx-get") or "" for found in elements(browser.get(url).content.decode())]
    assert url not in [address.partition("?")[0] for address in asked]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_works_without_scripts(browser: Browser, refs: dict[str, Any], name: str) -> None:
    url = url_of(name, refs)
    found = elements(browser.get(url).content.decode())
    assert [*dead(found, url)] == []


def test_the_look_for_what_needs_a_script_finds_it() -> None:
    page = """<form action="/nowhere/"><button type="button">Open</button></form>
        <a hx-get="/agents/">Agents</a><a href="/runs/" hx-get="/agents/">Runs</a>
        <div hx-get="/runs/" hx-trigger="click"></div>
        <div hx-get="/runs/" hx-trigger="every 5s"></div>
        <button type="button" class="needs-js">Copy</button><a href="/runs/">Runs</a>"""
    assert len([*dead(elements(page), "/")]) == 5


def dead(found: list[Element], url: str, *, urlconf: str = "config.urls.org") -> Iterator[str]:
    """What would do nothing, or something else, where no script runs."""
    for element in found:
        if element.tag == "form" and not _is_served(
            urljoin(url, element.get("action") or ""), urlconf
        ):
            yield f"a form goes to {element.get('action')}"
        if element.tag == "button" and element.get("type") == "button" and not _needs(element):
            yield f"a button without effect: {element.attributes}"
        for asked in (element.get("hx-get"), element.get("hx-post")):
            if asked is not None and not _has_a_plain_way(element, asked):
                yield f"only htmx can do this: {element.attributes}"


def _is_served(address: str, urlconf: str) -> bool:
    if address.startswith("http"):
        return True
    try:
        resolve(address.partition("?")[0].partition("#")[0], urlconf=urlconf)
    except Resolver404:
        return False
    return True


def _needs(element: Element) -> bool:
    """Whether a button is hidden without scripts, or does its work without them."""
    says = {"popovertarget", "commandfor"} & set(element.attributes)
    hidden = any(BY_SCRIPTS & part.classes for part in (element, *element.within))
    return bool(says or hidden or element.stands_in("dialog") or element.stands_in("template"))


def _has_a_plain_way(element: Element, asked: str) -> bool:
    if any(word in (element.get("hx-trigger") or "") for word in BY_ITSELF):
        return True
    if element.stands_in("dialog"):
        return True  # only a script opens it; the link to search is its plain way
    if element.tag in ("input", "select", "textarea", "button"):
        return element.stands_in("form")
    plain = element.get("href") if element.tag == "a" else element.get("action")
    return plain is not None and plain.partition("?")[0] == asked.partition("?")[0]
