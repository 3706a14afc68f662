"""Roles of the org's own: made, changed and deleted.

Nobody makes or changes a role that may more than themselves, so no role is a way up. A change
counts from its commit on: what a member or key may is read with every request, and nowhere kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.common.errors import Invalid, NotFound
from apps.common.etag import NO_PRECONDITION, Precondition, etag_of
from apps.common.text import free_slug, is_one_line, is_slug, make_slug
from apps.orgs import role_uses
from apps.orgs.errors import (
    BeyondOwnPower,
    BuiltInRoleStays,
    RoleInUse,
    RoleNameInUse,
    TooManyRoles,
)
from apps.orgs.models import Invitation, Member, Permission, Role, RolePermission
from apps.orgs.permissions import CUSTOM_RANK, MATRIX, OWNERS_ONLY
from apps.orgs.principals import Principal
from apps.orgs.selectors import ROLE, get_role
from apps.orgs.services.members import lock_owner_role, withdraw_beyond
from apps.orgs.services.recording import recorder

ROLES_MAX: Final = 30
NAME_MAX: Final = 60
DESCRIPTION_MAX: Final = 200
HOLDERS_NAMED: Final = 3
RESERVED: Final = frozenset({"new"})
"""What stands in the address of a page of its own."""
_record = recorder("role", ROLE)


def version_of(role: Role) -> str:
    """The ETag of a role."""
    return etag_of(role.version, role.id)


def create_role(
    *,
    name: str,
    permissions: Sequence[str],
    slug: str = "",
    description: str = "",
    by: Principal,
    at: datetime,
) -> Role:
    """Make a role with these permissions; without a slug it gets the nearest free one to its name.

    Raises Invalid for values that won't do, BeyondOwnPower for a permission that `by` lacks,
    RoleNameInUse, TooManyRoles.
    """
    codes = _check_codes(permissions, by)
    role = Role(
        name=_check_name(name),
        description=_check_description(description),
        slug=_check_slug(slug) if slug else _suggest_slug(name),
        rank=CUSTOM_RANK,
    )
    with transaction.atomic():
        lock_owner_role()  # of two who make the last one that there is room for, the second counts
        if Role.objects.filter(built_in=False, deleted_at=None).count() >= ROLES_MAX:
            raise TooManyRoles(f"An organization has at most {ROLES_MAX} roles of its own.")
        _save(role)
        _give(role, codes)
        _record(role, "created", by.actor, at, new=_facts(role, codes))
    return role


def update_role(
    *,
    role_id: UUID,
    name: str | None = None,
    description: str | None = None,
    permissions: Sequence[str] | None = None,
    expected: Precondition = NO_PRECONDITION,
    by: Principal,
    at: datetime,
) -> Role:
    """Change what is given and leave the rest; its members may what it says from then on.

    Open invitations that thereby give more than their inviter may are taken back. Raises NotFound,
    PreconditionFailed, BuiltInRoleStays, Invalid, BeyondOwnPower for a role that may more than
    `by`, before or after, RoleNameInUse, RoleInUse where something is left to it that it could do
    no more.
    """
    with transaction.atomic():
        role, held = _lock(role_id, expected, by)
        before = _facts(role, held)
        if name is not None:
            role.name = _check_name(name)
        if description is not None:
            role.description = _check_description(description)
        codes = held if permissions is None else _check_codes(permissions, by)
        after = _facts(role, codes)
        changed = [field for field in after if after[field] != before[field]]
        if not changed:
            return role
        if held - codes:
            _check_leaves_nothing(role, codes)
        role.version += 1
        _save(role)
        _give(role, codes)
        if held != codes:
            withdraw_beyond(Q(invited_by__role=role) | Q(role=role), by.actor, at)
        old, new = ({field: facts[field] for field in changed} for facts in (before, after))
        _record(role, "updated", by.actor, at, old=old, new=new)
    return role


def delete_role(
    *, role_id: UUID, expected: Precondition = NO_PRECONDITION, by: Principal, at: datetime
) -> None:
    """End a role that nobody has, nobody is invited to, and nothing is left to.

    Raises NotFound, PreconditionFailed, BuiltInRoleStays, BeyondOwnPower, RoleInUse, which says
    who has it or what is left to it.
    """
    with transaction.atomic():
        role, held = _lock(role_id, expected, by)
        _check_unused(role)
        role.deleted_at = at
        role.version += 1
        role.save(update_fields=["deleted_at", "version"])
        _give(role, frozenset())
        _record(role, "deleted", by.actor, at, old=_facts(role, held))


def _lock(role_id: UUID, expected: Precondition, by: Principal) -> tuple[Role, frozenset[str]]:
    """The role, held, and what it may; raises what a change of it can be refused for.

    Who gives it to somebody or invites to it holds it too, so nobody gives a role that is being
    deleted; who accepts an invitation to it doesn't (see `_check_unused`).
    """
    role = Role.objects.select_for_update(no_key=True).filter(id=role_id, deleted_at=None).first()
    if role is None:
        raise NotFound
    if role.built_in:
        raise BuiltInRoleStays(f"{role.name} is the same in every organization.")
    expected.check(version_of(role))
    held = frozenset(get_role(role.slug).codes) & MATRIX.keys()  # type: ignore[attr-defined]
    if missing := sorted(held - by.permissions):
        detail = f"{role.name} may more than you: it has {missing[0]}."
        raise BeyondOwnPower(detail, permission=missing[0])
    return role, held


def _give(role: Role, codes: frozenset[str]) -> None:
    """Make the role's permissions exactly these."""
    rows = RolePermission.objects.filter(role=role)
    rows.exclude(permission__code__in=codes).delete()
    there = set(rows.values_list("permission__code", flat=True))
    missing = Permission.objects.filter(code__in=codes - there).order_by("code")
    RolePermission.objects.bulk_create(RolePermission(role=role, permission=p) for p in missing)


def _check_unused(role: Role) -> None:
    """Nobody is invited to it or has it, looked for in this order: an invitation that is accepted
    meanwhile makes a member in the same commit, so one of the two is seen.
    """
    open_ones = Invitation.objects.filter(role=role, state=Invitation.State.PENDING)
    emails = list(open_ones.order_by("id").values_list("email", flat=True)[:HOLDERS_NAMED])
    members = Member.objects.filter(role=role, left_at=None).order_by("joined_at", "id")
    names = list(members.values_list("label", flat=True)[: HOLDERS_NAMED + 1])
    if names:
        shown = ", ".join(names[:HOLDERS_NAMED]) + (" and others" * (len(names) > HOLDERS_NAMED))
        raise RoleInUse(f"Give another role first to {shown}.")
    if emails:
        raise RoleInUse(f"An invitation to it is open: {', '.join(emails)}. Revoke it first.")
    _check_leaves_nothing(role, frozenset())


def _check_leaves_nothing(role: Role, codes: frozenset[str]) -> None:
    """Nothing that is left to a role's members is left to nobody by its having only `codes`."""
    if said := role_uses.find_use(role, codes):
        raise RoleInUse(said)


def _save(role: Role) -> None:
    try:
        with transaction.atomic():
            role.save()
    except IntegrityError as error:
        if "role_slug" in str(error):
            raise Invalid.of("slug", "Another role has, or had, this slug.") from error
        raise RoleNameInUse(f"There is a role “{role.name}” already.") from error


def _check_codes(permissions: Sequence[str], by: Principal) -> frozenset[str]:
    """Known codes that may be in a role of the org's own and that `by` has itself."""
    codes = frozenset(permissions)
    if unknown := sorted(codes - MATRIX.keys()):
        raise Invalid.of("permissions", f"There is no permission “{unknown[0]}”.")
    if barred := sorted(codes & OWNERS_ONLY):
        raise Invalid.of("permissions", f"Only owners may have {barred[0]}.")
    if not codes:
        raise Invalid.of("permissions", "Choose at least one permission.")
    if missing := sorted(codes - by.permissions):
        detail = f"You don't have the permission {missing[0]} yourself."
        raise BeyondOwnPower(detail, permission=missing[0])
    return codes


def _check_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= NAME_MAX or not is_one_line(name):
        raise Invalid.of("name", f"Use 1 to {NAME_MAX} characters on one line.")
    return name


def _check_description(text: str) -> str:
    text = text.strip()
    if len(text) > DESCRIPTION_MAX or not is_one_line(text):
        raise Invalid.of("description", f"Use at most {DESCRIPTION_MAX} characters on one line.")
    return text


def _check_slug(slug: str) -> str:
    if not is_slug(slug):
        raise Invalid.of("slug", "Use 1 to 40 lower-case letters, digits and hyphens.")
    if slug in RESERVED:
        raise Invalid.of("slug", f"“{slug}” can't be a role's slug.")
    return slug


def _suggest_slug(name: str) -> str:
    """Free of every role that is or was: the audit log names roles by their slugs."""
    slug = make_slug(name, fallback="role")
    return free_slug(slug, is_taken=lambda s: s in RESERVED or Role.objects.filter(slug=s).exists())


def _facts(role: Role, codes: frozenset[str]) -> dict[str, Any]:
    return {
        "slug": role.slug,
        "name": role.name,
        "description": role.description,
        "permissions": sorted(codes),
    }
