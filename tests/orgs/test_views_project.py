"""The project that is chosen stands in the address: every page, form and answer keeps it.

The URLconf says which pages and forms there are (test_views_matrix.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import transaction

from tests.markup import FREE, forgotten
from tests.orgs.test_views_matrix import DOCUMENTS, FORMS, data_of, url_of
from tests.tenants.browsing import Browser

CHOSEN = "?project=apollo"
OUT = ("/signed-out",)
"""Where a form leads that ends the session with everything that was chosen in it."""


@pytest.mark.parametrize("more", ["", "&q=zzzz", "&status=active&role=viewer&range=7d"])
def test_every_link_and_form_of_a_page_keeps_the_project(
    browser: Browser, refs: dict[str, Any], more: str
) -> None:
    def lost(name: str) -> list[tuple[str, str]]:
        url = url_of(name, refs) + CHOSEN + more
        answers = browser.get(url), browser.part(url)
        html = "".join(answer.content.decode() for answer in answers)
        return list(forgotten(html, "apollo", base=url))

    assert {name: found for name in DOCUMENTS if (found := lost(name))} == {}


def test_what_a_form_answers_keeps_the_project(browser: Browser, refs: dict[str, Any]) -> None:
    def lost(name: str, data: dict[str, str]) -> list[Any]:
        url = url_of(name, refs) + CHOSEN
        with undone():
            answer = browser.post(url, data)
        if answer.status_code == 303:
            return [] if _leads_on(answer["Location"]) else [answer["Location"]]
        return list(forgotten(answer.content.decode(), "apollo", base=url))

    said = {name: data_of(name, refs) for name in FORMS}
    assert {name: found for name in FORMS if (found := lost(name, said[name]))} == {}
    assert {name: found for name in FORMS if (found := lost(name, {}))} == {}


def test_the_look_for_what_forgets_the_project_finds_it() -> None:
    html = """<a href="/runs/">x</a><a href="/runs/?project=apollo">y</a><a href="#z">z</a>
        <form action="/runs/"><input name="q"></form><a href="https://a.example/runs/">w</a>
        <form action="/runs/"><input name="project" value="apollo"></form>
        <form method="post" action="/runs/"><input name="project" value="apollo"></form>"""
    found = [place for place, _ in forgotten(html, "apollo", base=f"/agents/{CHOSEN}")]
    assert found == ["a href", "form action", "form action"]


@contextmanager
def undone() -> Iterator[None]:
    """What is written within is taken back at its end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _leads_on(address: str) -> bool:
    """Whether a project goes along: the chosen one, or the one that was made just now."""
    parts = urlsplit(address)
    return parts.path.startswith((*OUT, *FREE)) or "project" in parse_qs(parts.query)
