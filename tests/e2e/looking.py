"""Looking at pages: in both themes and at two widths, for what is wrong with them.

What was looked at is remembered by its name in the URLconf, so that a table of all pages
(tests/workspace/test_page_tables.py) can say which nobody looks at.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from django.urls import Resolver404, resolve
from playwright.sync_api import Page

from tests.e2e.person import Person

WIDTHS = ((1440, 900), (390, 844))
THEMES = ("light", "dark")
APEX, ORG = "config.urls.apex", "config.urls.org"
FOUND: set[str] = set()
"""Pages whose addresses only a test finds out, by their names; see `finds`."""
_looked_at: set[str] = set()
SHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "shots"
"""Where pictures of the main pages are kept; git ignores it."""
MAIN = {
    *("landing", "home", "gallery", "overview", "agents", "agent", "agent-new", "agent-try"),
    *("runs", "run-with-children", "run-failed", "project", "general", "members", "search"),
    *("admin", "admin-system"),
}
# Swagger UI puts a link and a copy button into the button that unfolds an operation.
SWAGGER_OWN = {"nested-interactive"}
# Axe would fetch style sheets again and put them into the page, which the policy forbids; it only
# asks them for what an experimental rule wants. Every rule is asked; of what passes nothing is
# told, which takes longer than to find what doesn't.
AXE = {"preload": False, "resultTypes": ["violations"]}
_axe = Axe()


def finds(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Claims that a test looks at these pages, and has it fail if it does not."""
    FOUND.update(names)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> None:
            _looked_at.clear()
            test(*args, **kwargs)
            assert set(names) - _looked_at == set()

        return checked

    return decorate


def name_of(url: str) -> str:
    """The page's name in the URLconf of its host; "" for what leads nowhere."""
    parts = urlsplit(url)
    urlconf = APEX if parts.hostname == "localhost" else ORG
    try:
        return resolve(parts.path, urlconf=urlconf).view_name or ""
    except Resolver404:
        return ""


def sweep(person: Person, origin: str, paths: dict[str, str]) -> None:
    """Look at each page in every theme and width."""
    faults: list[str] = []
    for name, path in paths.items():
        for width, height in WIDTHS:
            person.page.set_viewport_size({"width": width, "height": height})
            _open(person, f"{origin}{path}")
            faults += [fault for theme in THEMES for fault in look(person.page, name, theme, width)]
    print(
        f"\n{len(paths)} pages × {len(THEMES)} themes × {len(WIDTHS)} widths: {len(faults)} faults"
    )
    assert faults == [], "\n".join(faults)


def _open(person: Person, url: str) -> None:
    """Load the page; one that a script draws is there when its last part is."""
    page = person.go(url)
    if page.locator("#api-docs").count():
        page.locator(".opblock").last.wait_for()
        page.locator("#servers[aria-label]").wait_for()


def each_look(page: Page, name: str) -> list[str]:
    """All looks of a page that can't be loaded twice."""
    faults = []
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        faults += [fault for theme in THEMES for fault in look(page, name, theme, width)]
    return faults


def look(page: Page, name: str, theme: str, width: int) -> list[str]:
    """What is wrong with the page as it stands, each fault with where it was seen."""
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    _looked_at.add(name_of(page.url))
    _shoot(page, name, f"{width}-{theme}")
    is_swagger = page.locator(".swagger-ui").count() > 0
    faults = [
        f"{violation['id']}: {node['html'][:160]} {' '.join(node['failureSummary'].split())[:200]}"
        for violation in _axe.run(page, options=AXE).response["violations"]
        if not (is_swagger and violation["id"] in SWAGGER_OWN)
        for node in violation["nodes"]
    ]
    over = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if over > 0:
        faults.append(f"sideways overflow of {over} px")
    if (count := page.locator("h1").count()) != 1:
        faults.append(f"{count} h1")
    return [f"{name} {width} {theme}: {fault}" for fault in faults]


def _shoot(page: Page, name: str, what: str) -> None:
    """Keep a picture: of a main page always, of every one in the folder that E2E_SHOTS names."""
    folder = os.environ.get("E2E_SHOTS") or (SHOTS if name in MAIN else None)
    if folder:
        page.screenshot(path=Path(folder) / f"{name}-{what}.png", full_page=True)
