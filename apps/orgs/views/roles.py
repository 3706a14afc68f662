"""What each role may do, as one table."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.orgs import selectors
from apps.orgs.pages import command, needs, principal_of
from apps.orgs.permissions import MATRIX
from apps.orgs.settings_pages import page

# What a permission is about, by how its code begins; in the order of the page.
AREAS: Final = {
    "projects": "Projects",
    "agents": "Agents",
    "grants": "Calls between agents",
    "runs": "Runs",
    "models": "Language models",
    "members": "Members and roles",
    "owners": "Members and roles",
    "roles": "Members and roles",
    "invitations": "Members and roles",
    "keys": "API keys",
    "audit": "Audit log",
    "org": "Organization",
}
OTHER: Final = "Other"
_ORDER: Final = [*dict.fromkeys(AREAS.values()), OTHER]
_CODES: Final = list(MATRIX)


@require_safe
@needs("roles.view")
def index(request: HttpRequest) -> HttpResponse:
    """Which role may do what, by area, with one's own role marked."""
    by, found = principal_of(request), list(selectors.list_roles())
    roles: list[Any] = found
    context = page(
        request,
        "Roles",
        roles=[
            {
                "label": role.name,
                "member_count": role.member_count,
                "is_own": role.slug == by.role,
            }
            for role in roles
        ],
        groups=_groups(roles, own=by.role),
        own_role=by.role_name,
        can_change=by.may("members.manage"),
        changers=[role.name for role in roles if "members.manage" in role.codes],
        owner_makers=[role.name for role in roles if "owners.manage" in role.codes],
        command=command(request, "/v1/roles"),
    )
    return render(request, "orgs/roles.html", context)


def _groups(roles: list[Any], *, own: str) -> list[dict[str, Any]]:
    """The permissions of each area, each with a cell for every role."""
    permissions = sorted(selectors.list_permissions(), key=lambda p: _place(p.code))
    return [
        {
            "label": label,
            "permissions": [
                {
                    "code": p.code,
                    "label": p.description,
                    "cells": [
                        {"allowed": p.code in role.codes, "is_own": role.slug == own}
                        for role in roles
                    ],
                }
                for p in rows
            ],
        }
        for label, rows in groupby(permissions, key=lambda p: _area(p.code))
    ]


def _area(code: str) -> str:
    return AREAS.get(code.partition(".")[0], OTHER)


def _place(code: str) -> tuple[int, int]:
    """Areas in the order of the page; within one, as the table of permissions has them."""
    return _ORDER.index(_area(code)), _CODES.index(code) if code in _CODES else len(_CODES)
