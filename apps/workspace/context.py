"""What the shell around every workspace page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from apps.approvals import selectors as approvals
from apps.common import system_state
from apps.common.formats import at_most
from apps.common.links import PROJECT, carried, with_query
from apps.common.text import initials
from apps.notify import selectors as notices
from apps.orgs import selectors as orgs
from apps.orgs.principals import Principal
from apps.tenants import selectors as tenants
from apps.tenants.access import user_id_of

# (group, label, path, icon, permission); a group without an entry that may be opened isn't shown
NAV = (
    ("Project", "Overview", "/", "layout-dashboard", None),
    ("Project", "Agents", "/agents/", "bot", "agents.view"),
    ("Project", "Runs", "/runs/", "activity", "runs.view"),
    ("Governance", "Approvals", "/approvals/", "stamp", "approvals.view"),
    ("Governance", "Policies", "/policies/", "scale", "policies.view"),
    ("Governance", "Audit log", "/audit/", "scroll-text", "audit.view"),
    ("Organization", "Projects", "/projects/", "folder", "projects.view"),
    ("Organization", "Members", "/settings/members/", "users", "members.view"),
    ("Organization", "API keys", "/settings/keys/", "key-round", None),
    ("Organization", "Settings", "/settings/", "settings", "org.view"),
)
# The letter that leads there after "g".
KEYS = {
    "/": "o",
    "/agents/": "a",
    "/runs/": "r",
    "/approvals/": "v",
    "/policies/": "l",
    "/projects/": "p",
    "/settings/members/": "m",
    "/settings/keys/": "k",
    "/settings/": "s",
}
# What is often wanted from anywhere: (label, path, icon, permission, other words for it)
ACTIONS: Final = (
    ("New agent", "/agents/new/", "bot", "agents.edit", "register create add"),
    (
        "New approval rule",
        "/approvals/rules/#new-rule",
        "stamp",
        "approvals.rules",
        "quorum",
    ),
    ("New policy", "/policies/new/", "scale", "policies.edit", "rego rule guard"),
    ("Decisions of policies", "/policies/decisions/", "gavel", "decisions.view", "log denied"),
    ("New project", "/projects/#new-project", "folder-plus", "projects.create", "create add"),
    ("Invite someone", "/settings/members/#invite", "user-plus", "invitations.manage", "member"),
    ("Verify the audit log", "/audit/check/", "shield-check", "audit.view", "chain proof check"),
    ("New API key", "/settings/keys/#new-key", "key-round", "keys.own", "create token"),
)
NO_COUNTS: Final[Mapping[str, str]] = {}
ROLES: Final = "/settings/roles/"
PROJECTS_SHOWN: Final = 30
"""How many projects the switcher lists on every page; the rest are on the page of projects."""
OF_ANOTHER_LIST: Final = (PROJECT, "before", "after", "part")
"""What of an address doesn't outlive a change of the project: a cursor is a place in one list."""


def shell(request: HttpRequest) -> dict[str, Any]:
    """The shell's data on an org's host, for somebody who was let in; read only if it is shown.

    `impersonation` is an operator's look through this member's eyes, where it is one.
    """
    look = {"impersonation": getattr(request, "impersonation", None)}
    if getattr(request, "principal", None) is None:
        return look
    return {"shell": SimpleLazyObject(lambda: _once(request)), **look}


def _once(request: Any) -> dict[str, Any]:
    """The same for every template of a request: a page and the error in its place ask once."""
    if not hasattr(request, "_shell"):
        request._shell = _shell(request)
    found: dict[str, Any] = request._shell
    return found


def _shell(request: HttpRequest) -> dict[str, Any]:
    """Two queries: the projects, for who may see them, and the person's orgs."""
    principal: Principal = request.principal  # type: ignore[attr-defined]
    org, user = request.org, request.user  # type: ignore[attr-defined]
    sees = principal.may("projects.view")
    projects = orgs.list_project_links(limit=PROJECTS_SHOWN + 1) if sees else []
    chosen = _chosen(request.GET.get(PROJECT, ""), projects, by_name=sees)
    slug = chosen.slug if chosen else ""
    return {
        "org": {"name": org.name, "slug": org.slug},
        "orgs": [
            {"name": o.name, "url": o.url, "current": o.id == org.id}
            for o in tenants.list_orgs_of(user_id_of(request))
            if o.is_active and (request.impersonation is None or o.id == org.id)  # type: ignore[attr-defined]
        ],
        "user": _person(user, principal),
        "nav": nav(request.path, principal.permissions, slug, _counts(principal)),
        "actions": _actions(request, principal),
        **_switcher(request, projects, chosen),
        "home_url": with_query("/", {PROJECT: slug}),
        "search_url": with_query(reverse("workspace:search"), {PROJECT: slug}),
        "system": system_state.glance(),
        "bell": notices.unread_of(principal),
        "account_url": f"{settings.PUBLIC_URL}/account/",
        "signout_url": "/logout",
        "roles_url": carried(request, ROLES) if principal.may("roles.view") else None,
    }


def _person(user: Any, principal: Principal) -> dict[str, Any]:
    return {
        "name": user.name or user.email,
        "email": user.email,
        "initials": initials(user.name or user.email),
        "role": principal.role_name,
        "is_operator": user.is_staff,
    }


# The project switcher -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a choice of a project leads from here: a path, and what of the query it keeps."""

    path: str
    query: Any

    def of(self, slug: str) -> str:
        query = self.query.copy()
        if slug:
            query[PROJECT] = slug
        return f"{self.path}?{query.urlencode()}" if query else self.path


def _switcher(
    request: HttpRequest, projects: list[orgs.ProjectLink], chosen: orgs.ProjectLink | None
) -> dict[str, Any]:
    principal: Principal = request.principal  # type: ignore[attr-defined]
    place, slug = _place(request), chosen.slug if chosen else ""
    shown = projects[:PROJECTS_SHOWN]
    if chosen and chosen not in shown and principal.may("projects.view"):
        shown = [chosen, *shown]
    may_create = principal.may("projects.create") and principal.may("projects.view")
    carried = {PROJECT: slug}
    return {
        "project": {"name": chosen.name, "slug": slug} if chosen else None,
        "projects": [
            {"name": p.name, "slug": p.slug, "url": place.of(p.slug), "current": p.slug == slug}
            for p in shown
        ],
        "all_projects_url": place.of(""),
        "keeps_page": place.path == request.path,
        "more_projects_url": with_query("/projects/", carried)
        if len(projects) > PROJECTS_SHOWN
        else None,
        "new_project_url": f"{with_query('/projects/', carried)}#new-project"
        if may_create
        else None,
    }


def _chosen(
    wanted: str, projects: list[orgs.ProjectLink], *, by_name: bool
) -> orgs.ProjectLink | None:
    """The project that the address names, also an archived one; one that isn't there is none.

    Who may not see projects is told no more of it than the address says.
    """
    if not wanted:
        return None
    listed = next((project for project in projects if project.slug == wanted), None)
    found = listed or orgs.find_project_link(wanted)
    return found if found is None or by_name else replace(found, name=found.slug)


def _place(request: HttpRequest) -> Place:
    """This very page and its filter; from the page of one thing, which is in one project, or from
    the answer to a form, the list that it belongs to.
    """
    match = request.resolver_match
    is_list = request.method in ("GET", "HEAD") and match is not None and not match.kwargs
    query = request.GET.copy()
    if not is_list:
        query.clear()
        return Place(_best(request.path) or "/", query)
    for name in OF_ANOTHER_LIST:
        query.pop(name, None)
    return Place(request.path, query)


# Navigation -----------------------------------------------------------------------------------


def nav(
    path: str, permissions: frozenset[str], project: str, counts: Mapping[str, str] = NO_COUNTS
) -> list[dict[str, Any]]:
    """The groups of the sidebar, with only what this principal may open, and what waits there."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for group, label, url, icon, permission in NAV:
        if permission is None or permission in permissions:
            item = {
                "label": label,
                "url": with_query(url, {PROJECT: project}),
                "icon": icon,
                "key": KEYS.get(url),
                "count": counts.get(url, ""),
                "counted": url.strip("/") if url in counts else "",
                "current": url == _best(path),
            }
            groups.setdefault(group, []).append(item)
    return [{"label": label, "items": items} for label, items in groups.items()]


def _counts(principal: Principal) -> dict[str, str]:
    """What waits for this person behind an entry; read along with them, so it costs no query."""
    return {"/approvals/": at_most(approvals.count_waiting(principal), approvals.COUNTED)}


def _actions(request: HttpRequest, principal: Principal) -> list[dict[str, str]]:
    return [
        {"label": label, "url": carried(request, path), "icon": icon}
        for label, path, icon, permission, _ in ACTIONS
        if principal.may(permission)
    ]


def _best(path: str) -> str:
    """The most specific entry that the page lies under."""
    fitting = [
        url for _, _, url, _, _ in NAV if path == url or (url != "/" and path.startswith(url))
    ]
    return max(fitting, key=len, default="")
