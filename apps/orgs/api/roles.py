"""`/v1/roles` and `/v1/permissions`: what there is to allow, and the roles that allow it."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.openapi import page_of
from apps.common.pagination import Keyset
from apps.orgs import selectors
from apps.orgs.api import examples
from apps.orgs.api.base import OrgView
from apps.orgs.api.fields import PublicId, Strict, Text
from apps.orgs.api.serializers import SLUG
from apps.orgs.areas import area_of, by_area
from apps.orgs.models import Role
from apps.orgs.permissions import MATRIX, NOT_FOR_AGENTS, OWNERS_ONLY
from apps.orgs.services import roles
from apps.orgs.services.roles import DESCRIPTION_MAX, NAME_MAX

BY_RANK: Final = Keyset(("rank", "id"), descending=False)


class RoleRead(serializers.Serializer[Any]):
    id = PublicId(selectors.ROLE)
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    built_in = serializers.BooleanField(help_text="The same in every org, and changed by nobody.")
    permissions = serializers.ListField(child=serializers.CharField(), source="codes")
    members = serializers.IntegerField(source="member_count", help_text="How many have it.")


def _permissions(**options: Any) -> serializers.ListField:
    child = serializers.ChoiceField(choices=[code for code in MATRIX if code not in OWNERS_ONLY])
    return serializers.ListField(
        child=child, min_length=1, help_text="Only what you may yourself.", **options
    )


class RoleWrite(Strict):
    name = Text(max_length=NAME_MAX)
    slug = serializers.RegexField(
        SLUG, required=False, help_text="From the name if left out. It can't be changed later."
    )
    description = Text(max_length=DESCRIPTION_MAX, required=False, allow_blank=True)
    permissions = _permissions()


class RoleChange(Strict):
    name = Text(max_length=NAME_MAX, required=False)
    description = Text(max_length=DESCRIPTION_MAX, required=False, allow_blank=True)
    permissions = _permissions(required=False)


class PermissionRead(serializers.Serializer[Any]):
    """One thing that a role may allow, in words."""

    code = serializers.CharField()
    description = serializers.CharField()
    area = serializers.CharField(help_text="What it is about.")
    owners_only = serializers.BooleanField(help_text="No role of the org's own may have it.")
    agents = serializers.BooleanField(help_text="Whether the key of an agent may have it.")


class PermissionsRead(serializers.Serializer[Any]):
    results = PermissionRead(many=True)
    next = serializers.CharField(allow_null=True)


class RolesView(OrgView):
    """The roles that members and invitations can have, the built-in ones first."""

    required = {"GET": "roles.view", "POST": "roles.manage"}
    list_keyset = BY_RANK

    @extend_schema(operation_id="roles_list", tags=["roles"], responses=page_of(RoleRead))
    def get(self, request: Request) -> Response:
        return self.answer_page(RoleRead, selectors.list_roles(), keyset=BY_RANK)

    @extend_schema(
        operation_id="roles_create",
        tags=["roles"],
        request=RoleWrite,
        responses={201: RoleRead},
        examples=examples.ROLE_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Make a role of the org's own, with permissions that you have yourself."""
        made = roles.create_role(**self.read(RoleWrite), by=self.by, at=timezone.now())
        return answer_role(self, made, status=201)


class RoleView(OrgView):
    """A role by its id or slug."""

    required = {"GET": "roles.view", "PATCH": "roles.manage", "DELETE": "roles.manage"}
    versioned = True

    @extend_schema(
        operation_id="roles_get", tags=["roles"], responses=RoleRead, examples=examples.ROLE
    )
    def get(self, request: Request, role: str) -> Response:
        return answer_role(self, selectors.get_role(role))

    @extend_schema(
        operation_id="roles_change",
        tags=["roles"],
        request=RoleChange,
        responses=RoleRead,
        examples=examples.ROLE_CHANGE,
    )
    def patch(self, request: Request, role: str) -> Response:
        """Change a role of the org's own; its members may what it says from the answer on."""
        changed = roles.update_role(
            role_id=selectors.get_role(role).id,
            **self.read(RoleChange),
            expected=self.precondition(),
            by=self.by,
            at=timezone.now(),
        )
        return answer_role(self, changed)

    @extend_schema(operation_id="roles_delete", tags=["roles"], responses={204: None})
    def delete(self, request: Request, role: str) -> Response:
        """End a role that nobody has."""
        roles.delete_role(
            role_id=selectors.get_role(role).id,
            expected=self.precondition(),
            by=self.by,
            at=timezone.now(),
        )
        return self.nothing()


class PermissionsView(OrgView):
    required = {"GET": "roles.view"}

    @extend_schema(
        operation_id="permissions_list",
        tags=["roles"],
        responses=PermissionsRead,
        examples=examples.PERMISSIONS,
    )
    def get(self, request: Request) -> Response:
        """Everything that can be allowed; all on one page."""
        found = [_permission(code) for _, codes in by_area(MATRIX) for code in codes]
        return self.answer(PermissionsRead, {"results": found, "next": None})


def answer_role(view: OrgView, role: Role, *, status: int = 200) -> Response:
    """A role as it is now, with its version; read anew, for a change doesn't count its members."""
    found = selectors.get_role(role.slug)
    return view.answer(RoleRead, found, status=status, version=roles.version_of(found))


def _permission(code: str) -> dict[str, Any]:
    return {
        "code": code,
        "description": MATRIX[code][0],
        "area": area_of(code),
        "owners_only": code in OWNERS_ONLY,
        "agents": code not in NOT_FOR_AGENTS,
    }
