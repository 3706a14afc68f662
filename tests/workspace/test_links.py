"""Every link that a page shows leads somewhere, for whoever is shown it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.markup import addresses
from tests.orgs.conftest import ROLES
from tests.orgs.test_views_matrix import furnish, person
from tests.tenants.browsing import Browser, as_member

# Everything is asked here once more for each role: coverage is counted where it is tried in depth.
pytestmark = pytest.mark.no_cover

FINE = (200, 302)
"""302 is the door to another host: the account, another org."""
MOST = 400
MACHINES = ("/v1/", "/signed-out", "/logout")


@pytest.mark.parametrize("role", ROLES)
def test_no_link_is_dead_for_whoever_is_shown_it(acme: Any, role: str) -> None:
    who = person(acme, role)
    furnish(acme, who)
    answers = crawl(as_member(acme, who))
    assert {url: status for url, status in answers.items() if status not in FINE} == {}
    assert 20 < len(answers) < MOST


def test_the_crawl_finds_a_dead_link(acme: Any) -> None:
    answers = crawl(as_member(acme, person(acme, "owner")), start="/agents/no-such-agent/")
    assert 404 in answers.values()


def crawl(browser: Browser, *, start: str = "/") -> dict[str, int]:
    """What each page answers that links lead to, one of each kind, from `start` on.

    Two addresses are of one kind if they differ in the values of their queries only.
    """
    base = f"http://{browser.host}"
    waiting, answers, kinds = [f"{base}{start}"], {}, set()
    while waiting and len(answers) < MOST:
        url = waiting.pop(0)
        parts = urlsplit(url)
        kind = (parts.path, *sorted(name for name, _ in parse_qsl(parts.query)))
        if kind in kinds or parts.path.startswith(MACHINES):
            continue
        kinds.add(kind)
        path = url.removeprefix(base)
        answer = browser.get(path)
        answers[path] = answer.status_code
        if answer.status_code == 200 and "html" in answer["Content-Type"]:
            waiting += addresses(answer.content.decode(), base=url)
    return answers
