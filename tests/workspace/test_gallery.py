"""The gallery: who sees it, and that nothing that pages are made of is missing from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from apps.common.templatetags import code, ui
from apps.tenants.models import User
from apps.workspace.gallery import KINDS
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import anonymous, is_page, signed_in, user_of

TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"
GALLERY: Final = TEMPLATES / "workspace"

# What cannot be shown there, and why.
UNSEEN_TAGS: Final = {
    "banner_icon": "the icon of a message, in ui/messages.html, which has nothing to say here",
    "message_tone": "the tone of one of the server's messages, likewise",
    "fragment": "writes attributes, which nobody sees",
    "tab_link": "a tab that knows its own page, of which there is but one here",
    "page_url": "writes the address of an org's page, and the gallery is on no org's host",
}
UNSEEN_TEMPLATES: Final = {
    "ui/project_menu.html": "the choice of a project, in the top bar",
    "ui/sidebar.html": "the shell of an org's pages, around every one of them",
    "ui/topbar.html": "the shell of an org's pages, around every one of them",
}


@pytest.fixture
def page(settings: Any, db: None) -> Any:
    settings.DEBUG = True
    return anonymous().get("/ui/")


def written() -> str:
    """The sources of the gallery's own templates."""
    files = [GALLERY / "gallery.html", *sorted((GALLERY / "gallery").glob("_*.html"))]
    return "".join(file.read_text() for file in files)


def test_the_gallery_is_for_operators_or_debug(acme: Any, settings: Any) -> None:
    user = user_of(owner_of(acme))
    assert anonymous().get("/ui/").status_code == 404
    assert signed_in(user).get("/ui/").status_code == 404
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert signed_in(user).get("/ui/").status_code == 200
    settings.DEBUG = True
    assert anonymous().get("/ui/").status_code == 200


def test_every_tag_and_filter_is_shown() -> None:
    source = written()
    tags = {name for module in (ui, code) for name in module.register.tags}
    filters = {name for module in (ui, code) for name in module.register.filters}
    missing = {tag for tag in tags if not re.search(rf"{{% {tag}[ %]", source)}
    missing |= {name for name in filters if not re.search(rf"\|{name}\b", source)}
    assert missing == set(UNSEEN_TAGS)


def test_every_template_of_a_component_is_shown(page: Any) -> None:
    shown = {template.name for template in page.templates}
    every = {f"ui/{file.name}" for file in (TEMPLATES / "ui").glob("*.html")}
    assert every - shown == set(UNSEEN_TEMPLATES)


def test_each_kind_is_there_in_both_themes(page: Any) -> None:
    html = page.content.decode()
    there = [name for name in KINDS if (GALLERY / "gallery" / f"_{name}.html").exists()]
    assert is_page(page) and there == [kind["name"] for kind in page.context["kinds"]]
    for theme in ("light", "dark"):
        assert html.count(f'class="look" data-theme="{theme}"') == len(there)
    assert {file.stem.removeprefix("_") for file in (GALLERY / "gallery").glob("_*.html")} <= set(
        KINDS
    )


def test_no_id_stands_there_twice(page: Any) -> None:
    ids = re.findall(r' id="([^"]+)"', page.content.decode())
    assert sorted(ids) == sorted(set(ids))
