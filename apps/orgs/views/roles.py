"""The roles of the org, and what each may do, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.common.links import link
from apps.orgs import selectors
from apps.orgs.areas import by_area
from apps.orgs.models import Role
from apps.orgs.pages import command, needs, principal_of
from apps.orgs.permissions import MATRIX
from apps.orgs.settings_pages import page


@require_safe
@needs("roles.view")
def index(request: HttpRequest) -> HttpResponse:
    """Which role may do what, by area, with one's own role marked."""
    by, found = principal_of(request), list(selectors.list_roles())
    roles = [role_row(request, role) for role in found]
    context = page(
        request,
        "Roles",
        roles=roles,
        own_roles=[role for role in roles if not role["built_in"]],
        groups=groups_of(found, own=by.role),
        total=len(MATRIX),
        own_role=by.role_name,
        can_manage=by.may("roles.manage"),
        can_change=by.may("members.manage"),
        changers=names_of(found, "members.manage"),
        makers=names_of(found, "roles.manage"),
        owner_makers=names_of(found, "owners.manage"),
        command=command(request, "/v1/roles"),
    )
    return render(request, "orgs/roles.html", context)


def role_row(request: HttpRequest, role: Role) -> dict[str, Any]:
    """A role as lists and its own page show it."""
    read: Any = role
    return {
        "slug": role.slug,
        "label": role.name,
        "description": role.description,
        "built_in": role.built_in,
        "url": link(request, "orgs:role", role.slug),
        "members_url": link(request, "orgs:members", role=role.slug),
        "member_count": read.member_count,
        "permission_count": len(read.codes),
        "is_own": role.slug == principal_of(request).role,
    }


def groups_of(roles: Sequence[Any], *, own: str = "") -> list[dict[str, Any]]:
    """The permissions of each area, each with a cell for every role."""
    return [
        {
            "label": label,
            "permissions": [
                {
                    "code": code,
                    "label": MATRIX[code][0],
                    "cells": [
                        {"allowed": code in role.codes, "is_own": role.slug == own}
                        for role in roles
                    ],
                }
                for code in codes
            ],
        }
        for label, codes in by_area(MATRIX)
    ]


def names_of(roles: Sequence[Any], code: str) -> list[str]:
    """The names of the roles that have a permission."""
    return [role.name for role in roles if code in role.codes]
