"""What a template names exists, also in those that are seldom shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from apps.common.templatetags.ui import icon
from apps.orgs.selectors import get_default_project
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import as_member, is_page

WRITTEN = re.compile(r"""\|date:"(?!c")[^"]*\"""")
NAMED = re.compile(r"""\{% (?:icon|empty_state) "([a-z0-9-]+)\"""")


def test_every_icon_that_a_template_names_can_be_drawn() -> None:
    found = {
        name
        for path in Path(settings.BASE_DIR, "templates").rglob("*.html")
        for name in NAMED.findall(path.read_text())
    }
    assert len(found) > 30
    assert all("<svg" in icon(name) for name in sorted(found))


def test_a_time_that_is_called_utc_is_utc() -> None:
    """The filter `date` writes a time in the reader's zone unless `utc` stands before it."""
    told = 0
    for path in Path(settings.BASE_DIR, "templates").rglob("*.*"):
        text = path.read_text()
        for found in WRITTEN.finditer(text):
            told += 1
            assert text[: found.start()].endswith("|utc"), (path.name, found[0])
    assert told == 4


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_how_long_an_operator_may_look_is_told_in_utc_wherever_the_reader_is(zone: str) -> None:
    look = {"until": datetime(2026, 11, 26, 9, 5, tzinfo=UTC)}
    with timezone.override(zone):
        banner = render_to_string("ui/impersonation_banner.html", {"impersonation": look})
    assert ">09:05 UTC</time>" in banner


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/projects/?after=broken", 400),
        ("post", "/settings/members/mem_0/role/", 404),
        ("get", "/no-such-page/", 404),
        ("post", "/settings/roles/", 405),
        ("post", "/projects/{default}/archive/", 409),
    ],
)
def test_a_refusal_is_a_page_in_the_shell(org: Any, method: str, path: str, status: int) -> None:
    browser = as_member(org, owner_of(org))
    path = path.format(default=get_default_project().slug)

    answer = getattr(browser, method)(path)

    assert answer.status_code == status
    if status != 405:
        assert is_page(answer)
        part = getattr(browser, method)(path, HX_Request="true")
        assert part.status_code == status and b"<html" not in part.content
        assert part["HX-Retarget"] == "#problem"
