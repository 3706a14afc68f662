"""What a template names exists, also in those that are seldom shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.common.templatetags.ui import icon
from apps.orgs.selectors import get_default_project
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import as_member, is_page

NAMED = re.compile(r"""\{% (?:icon|empty_state) "([a-z0-9-]+)\"""")


def test_every_icon_that_a_template_names_can_be_drawn() -> None:
    found = {
        name
        for path in Path(settings.BASE_DIR, "templates").rglob("*.html")
        for name in NAMED.findall(path.read_text())
    }
    assert len(found) > 30
    assert all("<svg" in icon(name) for name in sorted(found))


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
