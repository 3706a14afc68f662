"""What every page of an org has: crumbs that lead somewhere, one first thing to do, the same by the
API; that what costs something is asked first; and what an empty list says.

The URLconf says which pages and forms there are (test_views_matrix.py): one that isn't sorted in
here fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.urls import resolve

from tests.markup import Element, elements
from tests.orgs.conftest import join, owner_of
from tests.orgs.test_views_matrix import DOCUMENTS, FORMS, data_of, url_of
from tests.orgs.test_views_project import undone
from tests.tenants.browsing import Browser, as_member

# name: why the page shows no command
WITHOUT_API = {
    "confirm": "a form of the browser's waits there",
    "agents:new_details": "the first step shows it",
    "agents:new_check": "the first step shows it",
    "orgs:settings_danger": "an organization is closed by a person only",
    "workspace:search": "programs filter the lists themselves",
}
# Forms whose effect can't be taken back, or costs somebody something: they ask first.
COSTLY = {
    *("agents:tool_remove", "agents:grant_revoke", "agents:key_revoke", "agents:kill"),
    *("agents:secret", "agents:provider_remove", "agents:price_remove"),
    *("policies:activate", "policies:retire"),
    *("approvals:break_glass", "approvals:cancel", "approvals:rule_remove"),
    *("runs:view_delete", "runs:cancel", "orgs:project_archive", "orgs:member_remove"),
    "orgs:role_delete",
    *("orgs:invitation_revoke", "orgs:key_rotate", "orgs:key_revoke", "orgs:domain_remove"),
    "notify:channel_remove",
    *("orgs:signing_keys", "orgs:signing_key_rotate", "orgs:signing_key_revoke", "orgs:audit_keep"),
}
# Of these the name is typed.
FINAL = {"agents:retire", "orgs:settings_danger"}
# What these do is taken back by another of them, or adds and saves.
HARMLESS = {
    *("agents:new", "agents:new_details", "agents:new_check", "agents:new_register"),
    *("agents:tools", "agents:tool", "agents:grants", "agents:grant", "agents:keys"),
    *("agents:settings", "agents:activate", "agents:suspend"),
    *("agents:models", "agents:provider", "agents:price_add"),
    *("policies:new", "policies:edit", "policies:settings", "policies:backtest"),
    *("policies:check", "policies:shadow", "policies:unshadow"),
    *("policies:attach", "policies:detach"),
    *("approvals:approve", "approvals:reject", "approvals:rules", "approvals:rule"),
    *("runs:views", "runs:view", "runs:try", "runs:feedback", "runs:feedback_take_back"),
    *("orgs:projects", "orgs:project", "orgs:project_restore", "orgs:settings_general"),
    *("orgs:role_new", "orgs:role"),
    *("orgs:member_role", "orgs:member_groups", "orgs:keys"),
    *("orgs:invite", "orgs:invitation_resend"),
    *("orgs:domains", "orgs:domain_check", "orgs:domain_primary"),
    *("notify:read_all", "notify:open", "notify:read", "notify:preferences", "notify:test"),
    *("notify:channels", "notify:org_channels", "notify:channel", "notify:channel_test"),
    *("notify:channel_pause", "notify:channel_resume"),
}
NO_VERB = {"ok", "yes", "no", "submit", "continue", "confirm"}
NO_MATCH = {
    "agents:agents": "?q=zzzz",
    "runs:runs": "?q=zzzz",
    "policies:policies": "?q=zzzz",
    "policies:decisions": "?result=unavailable",
    "workspace:search": "?q=zzzz",
    "orgs:projects": "?q=zzzz",
    "orgs:members": "?q=zzzz",
    "orgs:keys": "?q=zzzz",
    "orgs:audit": "?subject=zzzz",
}
"""Lists with a filter, and a filter that nothing passes."""
NOTHING_YET = {
    "approvals": "/approvals/",
    "decisions": "/policies/decisions/",
    "approval rules": "/approvals/rules/",
    "agents": "/agents/",
    "runs": "/runs/",
    "views": "/runs/views/",
    "keys": "/settings/keys/",
    "models": "/settings/models/",
    "notices": "/notifications/",
    "channels": "/notifications/channels/",
    "org channels": "/settings/notifications/",
}
"""Lists that a new organization has nothing on."""


@pytest.fixture
def pages(browser: Browser, refs: dict[str, Any]) -> dict[str, Any]:
    """The answer of each page, by its name."""
    return {name: browser.get(url_of(name, refs)) for name in DOCUMENTS}


def html_of(answer: Any) -> str:
    return str(answer.content.decode())


# Crumbs and heads -----------------------------------------------------------------------------


def test_the_crumbs_of_a_page_lead_to_pages(browser: Browser, pages: dict[str, Any]) -> None:
    crumbs = {name: answer.context["crumbs"] for name, answer in pages.items()}
    assert {name for name, way in crumbs.items() if not way or way[-1][1] is not None} == set()
    above = {url for way in crumbs.values() for _, url in way[:-1]}
    assert len(above) > 5 and None not in above
    assert {url for url in above if browser.get(url).status_code != 200} == set()


def test_a_form_that_answers_with_a_page_says_where_one_is(
    browser: Browser, refs: dict[str, Any]
) -> None:
    for name in FORMS:
        with undone():
            answer = browser.post(url_of(name, refs), data_of(name, refs))
        if answer.status_code == 200:
            *above, (label, url) = answer.context["crumbs"]
            assert label and url is None, name
            assert {browser.get(url).status_code for _, url in above} <= {200}, name


def test_the_head_of_a_page_has_one_first_thing_to_do(pages: dict[str, Any]) -> None:
    def heads(answer: Any) -> list[int]:
        found = elements(html_of(answer))
        return [len([*_primaries(found, head)]) for head in found if "head" in head.classes]

    counted = {name: heads(answer) for name, answer in pages.items()}
    assert {name for name, found in counted.items() if len(found) != 1 or found[0] > 1} == set()
    assert [1] in counted.values()


def _primaries(found: list[Element], head: Element) -> Iterator[Element]:
    for element in found:
        if "primary" in element.classes and any(around is head for around in element.within):
            yield element


# The API --------------------------------------------------------------------------------------


def test_a_page_shows_how_programs_get_the_same(pages: dict[str, Any]) -> None:
    shown = {name: _command(html_of(answer)) for name, answer in pages.items()}
    assert {name for name, line in shown.items() if not line} == set(WITHOUT_API)
    for name, line in shown.items():
        for address in re.findall(r"https?://[^\s'\"]+", line):
            assert resolve(urlsplit(address).path, urlconf="config.urls.org"), (name, line)
        assert not line or line.startswith("curl ") and "/v1/" in line, name


def _command(html: str) -> str:
    """The line that a page gives to copy; "" if it gives none."""
    found = re.search(r'aria-label="Command">(.*?)</code>', html, re.S)
    return unescape(found[1]) if found else ""


# Forms ----------------------------------------------------------------------------------------


def test_every_form_is_sorted_by_what_it_costs() -> None:
    assert set(FORMS) == COSTLY | FINAL | HARMLESS
    assert len(COSTLY) + len(FINAL) + len(HARMLESS) == len(FORMS)


def test_what_costs_something_is_asked_first_and_says_its_effect(
    browser: Browser, refs: dict[str, Any], pages: dict[str, Any]
) -> None:
    others = {
        "runs:run": refs["runs:cancel"],
        "agents:settings": refs["agents:secret"],
        "agents:grants": refs["agents:grant"],
        "approvals:approval": refs["approvals:cancel"],
    }
    more = [(name, browser.get(url_of(name, others))) for name in others]
    asked: set[str] = set()
    for name, answer in [*pages.items(), *more]:
        html = html_of(answer)
        for form in elements(html):
            act = _act(form)
            if act in FINAL:
                assert 'name="name"' in html or 'name="slug"' in html, name
            if act in COSTLY:
                assert any("popover" in around.attributes for around in form.within), (name, act)
            asked |= {act} & (COSTLY | FINAL)
        for title, effect, verb in _questions(html):
            assert title and len(effect) > 15 and verb.lower() not in NO_VERB, (name, title)
    assert asked == COSTLY | FINAL


def _act(form: Element) -> str:
    """Which form of the table it is; "" for one that reads, or for no form at all."""
    if form.tag != "form" or form.get("method") != "post":
        return ""
    return resolve(urlsplit(form.get("action") or "/").path, urlconf="config.urls.org").view_name


def _questions(html: str) -> Iterator[tuple[str, str, str]]:
    """Title, effect and verb of each dialog that asks before an act."""
    for dialog in re.findall(r'<div class="confirm" popover.*?</form></div>', html, re.S):
        title = re.search(r"<h2[^>]*>(.*?)</h2>", dialog, re.S)
        effect = re.search(r'<p class="muted">(.*?)</p>', dialog, re.S)
        verb = re.search(r'class="btn danger">.*</svg>(.*?)</button>', dialog, re.S)
        if verb:
            assert title and effect, dialog
            yield title[1], effect[1], verb[1].strip()


# Empty places ---------------------------------------------------------------------------------


def empties(answer: Any) -> str:
    """What stands in the empty places of a page."""
    assert answer.status_code == 200
    found = re.findall(r'<div class="empty.*?</div>', html_of(answer), re.S)
    return re.sub(r"<svg.*?</svg>", "", " ".join(found), flags=re.S)


@pytest.mark.parametrize("name", NO_MATCH)
def test_where_nothing_matches_the_way_back_is_shown(
    browser: Browser, refs: dict[str, Any], name: str
) -> None:
    url = url_of(name, refs)
    said = empties(browser.get(url + NO_MATCH[name]))
    assert re.search(r"match|found|called", said, re.I), said
    assert name == "workspace:search" or "Clear" in said
    assert "match" not in empties(browser.get(url))


@pytest.mark.parametrize("name", NOTHING_YET)
def test_where_nothing_is_yet_it_says_what_to_do(acme: Any, browser: Browser, name: str) -> None:
    said = empties(browser.get(NOTHING_YET[name]))
    assert "<h" in said and "<a " in said


def test_where_an_agent_has_run_in_other_projects_only_it_does_not_say_never(
    browser: Browser, refs: dict[str, Any]
) -> None:
    url = url_of("runs:of_agent", refs)
    assert "No run in this project" in empties(browser.get(f"{url}?project=apollo"))
    assert empties(browser.get(f"{url}?project=default")) == ""
    never = url_of("runs:of_agent", {"runs:of_agent": refs["agents:activate"]})
    assert "It has not run yet" in empties(browser.get(never))


@pytest.mark.parametrize("name", ["agents", "runs", "models"])
def test_who_may_not_fill_an_empty_place_is_told_who_may(acme: Any, name: str) -> None:
    path = NOTHING_YET[name]
    viewer = empties(as_member(acme, join(acme, "viewer")).get(path))
    assert "owner" in viewer.lower() and "primary" not in viewer
    assert "primary" in empties(as_member(acme, owner_of(acme)).get(path))


@pytest.mark.parametrize("name", ["agents:models", "orgs:signing_keys"])
def test_who_may_only_read_a_page_is_told_whom_to_ask(
    acme: Any, refs: dict[str, Any], name: str
) -> None:
    url, words = url_of(name, refs), "Ask somebody who is Owner or Admin to "
    assert words in html_of(as_member(acme, join(acme, "viewer")).get(url))
    assert words not in html_of(as_member(acme, owner_of(acme)).get(url))
