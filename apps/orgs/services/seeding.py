"""The first rows of an org, and what later versions add to them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from apps.common.actors import SYSTEM
from apps.common.ids import public_id
from apps.orgs.models import Member, Permission, Project, Role, RolePermission
from apps.orgs.permissions import MATRIX, OWNER, ROLES
from apps.orgs.selectors import MEMBER
from apps.tenants.selectors import OrgRef, get_user
from apps.trust.services import record_event


def seed_org(org: OrgRef, at: datetime) -> None:
    """Give the org its roles, its default project and its first owner.

    Runs after every migration: permissions that a version adds reach the built-in roles of orgs
    that are older. What the org has made of its own stays as it is.
    """
    permissions = _seed_permissions()
    roles = _seed_roles()
    _seed_matrix(roles, permissions)
    if not Project.objects.exists():
        Project.objects.create(
            name="Default", slug="default", is_default=True, created_at=at, updated_at=at
        )
    if org.owner_id is not None and not Member.objects.exists():
        _seed_owner(org.owner_id, roles[OWNER], at)


def _seed_permissions() -> dict[str, UUID]:
    rows = [Permission(code=code, description=text) for code, (text, _) in MATRIX.items()]
    Permission.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["org_id", "code"],
        update_fields=["description"],
    )
    return dict(Permission.objects.values_list("code", "id"))


def _seed_roles() -> dict[str, UUID]:
    rows = [Role(slug=r.slug, name=r.name, rank=r.rank, built_in=True) for r in ROLES]
    Role.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["org_id", "slug"],
        update_fields=["name", "rank", "built_in"],
    )
    return dict(Role.objects.filter(built_in=True).values_list("slug", "id"))


def _seed_matrix(roles: dict[str, UUID], permissions: dict[str, UUID]) -> None:
    """Make the built-in roles' permissions exactly those of the table."""
    wanted = {
        (roles[role], permissions[code])
        for code, (_, allowed) in MATRIX.items()
        for role in allowed
    }
    rows = RolePermission.objects.filter(role__built_in=True)
    present = set(rows.values_list("role_id", "permission_id"))
    for role_id, permission_id in present - wanted:
        rows.filter(role_id=role_id, permission_id=permission_id).delete()
    RolePermission.objects.bulk_create(
        RolePermission(role_id=role_id, permission_id=permission_id)
        for role_id, permission_id in sorted(wanted - present)
    )


def _seed_owner(user_id: UUID, role_id: UUID, at: datetime) -> None:
    user = get_user(user_id)
    member = Member.objects.create(
        user_id=user.id,
        label=user.name or user.email[:120],
        email=user.email,
        role_id=role_id,
        joined_at=at,
    )
    record_event(
        actor=SYSTEM,
        action="orgs.member.joined",
        subject_type="member",
        subject_id=public_id(MEMBER, member.id),
        new={"label": member.label, "role": OWNER},
        at=at,
    )
