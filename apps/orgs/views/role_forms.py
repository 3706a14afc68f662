"""One role: what it may and who has it, the form that changes it, and a new one."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.errors import DomainError
from apps.common.etag import Precondition
from apps.common.htmx import see_other
from apps.common.ids import public_id
from apps.common.links import link, said
from apps.orgs import selectors
from apps.orgs.forms import RoleForm
from apps.orgs.models import Role
from apps.orgs.pages import check, command, needs, post_command, principal_of, show_refusal
from apps.orgs.permissions import MATRIX, OWNERS_ONLY
from apps.orgs.principals import Principal
from apps.orgs.services import roles as services
from apps.orgs.settings_pages import page
from apps.orgs.views.roles import groups_of, role_row
from apps.tenants import proofs

HOLDERS_SHOWN: Final = 8
EXAMPLE: Final = '{"name": "Auditor", "permissions": ["runs.view", "audit.view"]}'


@require_http_methods(["GET", "HEAD", "POST"])
@needs("roles.manage")
def new(request: HttpRequest) -> HttpResponse:
    """A new role, begun with what another one may (`from`)."""
    by, found = principal_of(request), list(selectors.list_roles())
    like: Any = next((role for role in found if role.slug == said(request, "from")), None)
    begun = {"permissions": [c for c in like.codes if c in _givable(by)]} if like else {}
    form = _form(request, by, begun)
    if request.method == "POST" and form.is_valid():
        proofs.require(request, f"Create role {form.cleaned_data['name']}", at=timezone.now())
        if made := _create(request, form):
            messages.success(request, f"{made.name} is a role now. Members get it under Members.")
            return see_other(link(request, "orgs:role", made.slug))
    context = page(
        request,
        "Roles",
        below="New role",
        form=form,
        starts=_starts(request, found),
        **_table(form, by, found),
        command=post_command(request, "/v1/roles", EXAMPLE),
    )
    status = 422 if form.is_bound else 200
    return render(request, "orgs/role_new.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs("roles.view")
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """One role; a POST changes it, unless somebody else did meanwhile."""
    by, role = principal_of(request), selectors.get_role(ref)
    form = _form(request, by, _facts(role))
    if request.method == "POST":
        check(request, "roles.manage")
        if form.is_valid():
            proofs.require(request, f"Change role {role.name}", at=timezone.now())
            if _update(request, role, form):
                messages.success(request, "Your changes were saved. They count from now on.")
                return see_other(link(request, "orgs:role", role.slug))
    context = page(request, "Roles", below=role.name, form=form, **_shown(request, role, form))
    status = 422 if form.is_bound else 200
    return render(request, "orgs/role.html", context, status=status)


@require_POST
@needs("roles.manage")
def delete(request: HttpRequest, ref: str) -> HttpResponse:
    """End a role that nobody has."""
    role = selectors.get_role(ref)
    services.delete_role(role_id=role.id, by=principal_of(request), at=timezone.now())
    messages.success(request, f"The role {role.name} was deleted.")
    return see_other(reverse("orgs:roles"))


def _form(request: HttpRequest, by: Principal, begun: dict[str, Any]) -> RoleForm:
    data = request.POST if request.method == "POST" else None
    return RoleForm(data, initial=begun, codes=_givable(by))


def _givable(by: Principal) -> list[str]:
    """What `by` may put into a role: of their own permissions, those that are not only owners’."""
    return [code for code in MATRIX if by.may(code) and code not in OWNERS_ONLY]


def _create(request: HttpRequest, form: RoleForm) -> Role | None:
    """The role that a valid form asks for; None if it was refused, which the form then says."""
    try:
        return services.create_role(**_asked(form), by=principal_of(request), at=timezone.now())
    except DomainError as error:
        show_refusal(request, form, error)
        return None


def _update(request: HttpRequest, role: Role, form: RoleForm) -> bool:
    expected = Precondition.read(form.cleaned_data["version"] or None)
    who: dict[str, Any] = {"by": principal_of(request), "at": timezone.now()}
    try:
        services.update_role(role_id=role.id, **_asked(form), expected=expected, **who)
    except DomainError as error:
        show_refusal(request, form, error)
        return False
    return True


def _asked(form: RoleForm) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("name", "description", "permissions")}


def _facts(role: Any) -> dict[str, Any]:
    return {
        "name": role.name,
        "description": role.description,
        "permissions": role.codes,
        "version": services.version_of(role),
    }


def _starts(request: HttpRequest, roles: list[Role]) -> list[dict[str, Any]]:
    """What a new role can begin with: nothing, or what another one may."""
    chosen = said(request, "from")
    begin = [("", "Nothing"), *((role.slug, role.name) for role in roles if role.slug != "owner")]
    return [
        {
            "label": label,
            "url": link(request, "orgs:role_new", **({"from": slug} if slug else {})),
            "is_current": slug == chosen,
        }
        for slug, label in begin
    ]


def _table(form: RoleForm, by: Principal, roles: list[Role]) -> dict[str, Any]:
    """The editor's rows: a tick for each permission, beside what the built-in roles have."""
    known = [role for role in roles if role.built_in]
    givable, chosen = set(_givable(by)), form.chosen()
    groups = groups_of(known)
    for group in groups:
        rows = [row for row in group["permissions"] if row["code"] not in OWNERS_ONLY]
        group["permissions"] = [
            {**row, "can_give": row["code"] in givable, "checked": row["code"] in chosen}
            for row in rows
        ]
    return {
        "groups": [group for group in groups if group["permissions"]],
        "compared": [role.name for role in known],
        "owners_only": [MATRIX[code][0].lower() for code in MATRIX if code in OWNERS_ONLY],
    }


def _shown(request: HttpRequest, role: Role, form: RoleForm) -> dict[str, Any]:
    by, read = principal_of(request), role_row(request, role)
    codes = [code for code in MATRIX if code in role.codes]  # type: ignore[attr-defined]
    beyond = [MATRIX[code][0].lower() for code in codes if code not in by.role_permissions]
    can_edit = by.may("roles.manage") and not role.built_in and not beyond
    editor = _table(form, by, list(selectors.list_roles())) if can_edit else {}
    return {
        "role": {**read, "id": public_id(selectors.ROLE, role.id)},
        "can_manage": by.may("roles.manage"),
        "can_edit": can_edit,
        "beyond": beyond[:1],
        "holders": _holders(role) if by.may("members.view") else None,
        "allowed": groups_of([role]),
        "copy_url": link(request, "orgs:role_new", **{"from": role.slug}),
        "delete_url": link(request, "orgs:role_delete", role.slug),
        "command": command(request, f"/v1/roles/{role.slug}"),
        **editor,
    }


def _holders(role: Role) -> list[str]:
    rows = selectors.list_members(role=role.slug).order_by("joined_at", "id")
    return [member.label for member in rows[:HOLDERS_SHOWN]]
