"""What the pages of a member's own notices share: their tabs and crumbs."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest

from apps.common.links import carried

TABS: Final = (
    ("Inbox", "/notifications/"),
    ("What reaches you", "/notifications/settings/"),
    ("Your channels", "/notifications/channels/"),
)


def page(request: HttpRequest, label: str, *, below: str = "", **context: Any) -> dict[str, Any]:
    """A page's context: its tab, its crumbs, and what it shows; `below` is one thing of a tab."""
    tabs = [
        {"label": name, "url": carried(request, url), "current": name == label}
        for name, url in TABS
    ]
    start = carried(request, TABS[0][1])
    crumbs: list[tuple[str, str | None]] = [("Notifications", start)]
    if label == TABS[0][0]:
        crumbs = [("Notifications", None)]
    elif below:
        own = next(url for name, url in TABS if name == label)
        crumbs += [(label, carried(request, own)), (below, None)]
    else:
        crumbs += [(label, None)]
    return {"notify_nav": tabs, "crumbs": crumbs, **context}
