"""What every page of the settings shares, in whichever app: the tabs above it."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest

from apps.common.links import carried
from apps.orgs.pages import principal_of

# (label, path, what it takes)
TABS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("General", "/settings/", ("org.view",)),
    ("Members", "/settings/members/", ("members.view",)),
    ("Roles", "/settings/roles/", ("roles.view",)),
    ("Projects", "/projects/", ("projects.view",)),
    ("API keys", "/settings/keys/", ()),
    ("Domains", "/settings/domains/", ("org.manage",)),
    ("Models", "/settings/models/", ("models.view",)),
    ("Notifications", "/settings/notifications/", ("notices.own", "notify.manage")),
    ("Signing keys", "/settings/signing-keys/", ("signing_keys.view",)),
    ("Close", "/settings/danger/", ("org.close",)),
)


def page(request: HttpRequest, label: str, *, below: str = "", **context: Any) -> dict[str, Any]:
    """A settings page's context: its tab, its crumbs, and what it shows.

    `below` names the one thing of a tab's list that the page is about.
    """
    may = principal_of(request).may
    tabs: list[dict[str, Any]] = [
        {"label": name, "url": carried(request, url), "current": name == label, "count": None}
        for name, url, codes in TABS
        if all(map(may, codes))
    ]
    # The first tab: General is not for who may not see the org's settings.
    crumbs: list[tuple[str, str | None]] = [("Settings", tabs[0]["url"])]
    if below:
        own = next(url for name, url, _ in TABS if name == label)
        crumbs += [(label, carried(request, own)), (below, None)]
    else:
        crumbs += [(label, None)]
    return {"settings_nav": tabs, "crumbs": crumbs, **context}
