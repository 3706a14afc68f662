"""What the shell around every workspace page shows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from apps.orgs import selectors as orgs
from apps.tenants import selectors as tenants

# (group, label, path, icon, permission)
NAV = (
    ("Project", "Overview", "/", "layout-dashboard", None),
    ("Project", "Agents", "/agents/", "bot", "agents.view"),
    ("Project", "Runs", "/runs/", "activity", "runs.view"),
    ("Organization", "Projects", "/projects/", "folder", "projects.view"),
    ("Organization", "Members", "/settings/members/", "users", "members.view"),
    ("Organization", "API keys", "/settings/keys/", "key-round", None),
    ("Organization", "Settings", "/settings/", "settings", "org.view"),
)
# The letter that leads there after "g".
KEYS = {"/": "o", "/agents/": "a", "/runs/": "r", "/projects/": "p", "/settings/": "s"}


def shell(request: HttpRequest) -> dict[str, Any]:
    """The shell's data on an org's host, for somebody who was let in; read only if it is shown.

    `impersonation` is an operator's look through this member's eyes, where it is one.
    """
    look = {"impersonation": getattr(request, "impersonation", None)}
    if getattr(request, "principal", None) is None:
        return look
    return {"shell": SimpleLazyObject(lambda: _shell(request)), **look}


def _shell(request: HttpRequest) -> dict[str, Any]:
    principal, org = request.principal, request.org  # type: ignore[attr-defined]
    user: Any = request.user
    projects = orgs.list_project_links()
    selected = request.GET.get("project", "")
    return {
        "org": {"name": org.name, "slug": org.slug},
        "orgs": [
            {"name": o.name, "url": o.url, "current": o.id == org.id}
            for o in tenants.list_orgs_of(user.pk)
            if o.is_active and (request.impersonation is None or o.id == org.id)  # type: ignore[attr-defined]
        ],
        "user": {
            "name": user.name or user.email,
            "email": user.email,
            "initials": initials(user.name or user.email),
            "role": principal.role_name,
        },
        "nav": _nav(request.path, principal.permissions, selected),
        "projects": [
            {
                "name": p.name,
                "slug": p.slug,
                "url": f"{request.path}?{urlencode({'project': p.slug})}",
                "current": p.slug == selected,
            }
            for p in projects
        ],
        "project": next(
            ({"name": p.name, "slug": p.slug} for p in projects if p.slug == selected), None
        ),
        "account_url": f"{settings.PUBLIC_URL}/account/",
        "signout_url": "/logout",
    }


def _nav(path: str, permissions: frozenset[str], project: str) -> list[dict[str, Any]]:
    """The groups of the sidebar, with only what this principal may open."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for group, label, url, icon, permission in NAV:
        if permission is None or permission in permissions:
            item = {
                "label": label,
                "url": f"{url}?{urlencode({'project': project})}" if project else url,
                "icon": icon,
                "key": KEYS.get(url),
                "count": None,
                "current": url == _best(path),
            }
            groups.setdefault(group, []).append(item)
    return [{"label": label, "items": items} for label, items in groups.items()]


def _best(path: str) -> str:
    """The most specific entry that the page lies under."""
    fitting = [
        url for _, _, url, _, _ in NAV if path == url or (url != "/" and path.startswith(url))
    ]
    return max(fitting, key=len, default="")


def initials(name: str) -> str:
    """At most two letters that stand for a person."""
    words = [word for word in name.replace("@", " ").split() if word[:1].isalpha()]
    return "".join(word[0] for word in words[:2]).upper() or "?"
