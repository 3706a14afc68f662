"""Every page that the URLconf has is looked at in a browser (tests/e2e), or says here why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver, resolve

from tests.e2e import test_pages as seen
from tests.orgs.test_views_matrix import GETS, OPEN, STREAMS

APEX, ORG = "config.urls.apex", "config.urls.org"
# Not pages: what programs ask, and what sends browsers on.
MACHINES = {"jwks", "org", "tenants:handover", "orgs:demo"}


def test_each_page_of_an_org_is_looked_at_in_a_browser() -> None:
    looked_at = names(seen.WORKSPACE.values(), ORG) | seen.FOUND
    assert set(GETS) - STREAMS - looked_at == set()
    assert looked_at - set(GETS) - OPEN - {"api:docs"} == set()


def names(paths: Iterable[str], urlconf: str) -> set[str]:
    """The URL names of these paths; what leads nowhere is no page."""
    found = set()
    for path in paths:
        if path != "/nothing/":
            found.add(resolve(path.partition("?")[0], urlconf=urlconf).view_name)
    return found


def walk(patterns: Any, space: str = "", path: str = "") -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        here = path + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield f"{space}{pattern.name}", here
        else:
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from walk(pattern.url_patterns, inner, here)


def test_each_page_of_the_apex_is_looked_at_in_a_browser() -> None:
    served = {name: path for name, path in walk(get_resolver(APEX).url_patterns)}
    print(sorted((n, p) for n, p in served.items() if not p.startswith(("v1/", "admin/"))))
    tables = (*seen.STRANGER.values(), *seen.ACCOUNT.values(), *seen.PROVED.values())
    print(sorted(names(tables, APEX)))
    assert 0
