"""Reads of an org's people, projects, roles and keys. All of them need both keys held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Model, OuterRef, Q, QuerySet

from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.common.text import is_slug
from apps.orgs.models import ApiKey, Invitation, Member, Permission, Project, Role, RolePermission
from apps.orgs.permissions import ALL_SCOPES, OWNER, effective
from apps.orgs.principals import Principal

ModelT = TypeVar("ModelT", bound=Model)

PROJECT, MEMBER, ROLE, INVITATION, KEY, ORG = "prj", "mem", "rol", "inv", "key", "org"


@dataclass(frozen=True, slots=True)
class ProjectLink:
    """A project as the switcher names it."""

    id: UUID
    name: str
    slug: str


def find_member_principal(*, user_id: UUID) -> Principal | None:
    """The member that this user is here; None if they are none or have left."""
    member = (
        Member.objects.select_related("role")
        .annotate(codes=_codes_of("role_id"))
        .filter(user_id=user_id, left_at=None)
        .first()
    )
    if member is None:
        return None
    allowed = frozenset(member.codes)
    return _principal(member, actor_of(member), role=allowed, permissions=allowed)


def find_key_principal(*, key_hash: bytes, at: datetime) -> tuple[Principal, ApiKey] | None:
    """The principal of a key that works now, with the key itself; one query."""
    key = (
        ApiKey.objects.select_related("member__role")
        .annotate(codes=_codes_of("member__role_id"))
        .filter(key_hash=key_hash, revoked_at=None, member__left_at=None)
        .first()
    )
    if key is None or (key.ends_at and key.ends_at <= at):
        return None
    role = frozenset(key.codes)
    label = f"{key.name} ({key.member.label})"[:200]
    principal = _principal(
        key.member,
        Actor(ActorType.API_KEY, public_id(KEY, key.id), label),
        role=role,
        permissions=effective(role=role, scopes=key.scopes),
        key=key,
    )
    return principal, key


def actor_of(member: Member) -> Actor:
    """The member as the audit log names them."""
    return Actor(ActorType.USER, public_id(MEMBER, member.id), member.label)


def list_project_links() -> list[ProjectLink]:
    """Every live project by name, for the switcher."""
    rows = Project.objects.filter(archived_at=None).order_by("name", "id")
    return [ProjectLink(*row) for row in rows.values_list("id", "name", "slug")]


def list_projects(*, q: str = "", archived: bool | None = False) -> QuerySet[Project]:
    """Projects whose name, slug or tag says `q`; `archived` None means both kinds."""
    rows = Project.objects.all()
    if archived is not None:
        rows = rows.filter(archived_at__isnull=not archived)
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(slug__icontains=q) | Q(tags__contains=[q]))
    return rows


def get_project(id_or_slug: str) -> Project:
    """A project by its public id or its slug; raises NotFound."""
    if is_slug(id_or_slug):
        project = Project.objects.filter(slug=id_or_slug).first()
    else:
        project = Project.objects.filter(id=parse_id(PROJECT, id_or_slug)).first()
    return _found(project)


def get_default_project() -> Project:
    """The project that takes what names none."""
    return Project.objects.get(is_default=True)


def list_members(*, q: str = "", role: str = "", left: bool | None = False) -> QuerySet[Member]:
    """Members whose name or address says `q`, with their roles; `left` None means all ever."""
    rows = Member.objects.select_related("role")
    if left is not None:
        rows = rows.filter(left_at__isnull=not left)
    if role:
        rows = rows.filter(role__slug=role)
    if q:
        rows = rows.filter(Q(label__icontains=q) | Q(email__icontains=q))
    return rows


def get_member(member_id: UUID) -> Member:
    """A member, also one who has left; raises NotFound."""
    return _found(Member.objects.select_related("role").filter(id=member_id).first())


def count_owners() -> int:
    """How many owners there are now; never 0."""
    return Member.objects.filter(role__slug=OWNER, left_at=None).count()


def list_roles() -> QuerySet[Role]:
    """Roles in order, with `codes` (their permissions) and `member_count`; one query."""
    return Role.objects.annotate(
        codes=_codes_of("pk"),
        member_count=Count("members", filter=Q(members__left_at=None)),
    ).order_by("rank", "id")


def list_permissions() -> QuerySet[Permission]:
    """Every permission there is, by code."""
    return Permission.objects.order_by("code")


def list_invitations(*, state: str = "") -> QuerySet[Invitation]:
    """Invitations with role and inviter, newest first; `state` narrows them."""
    rows = Invitation.objects.select_related("role", "invited_by", "accepted_by")
    return (rows.filter(state=state) if state else rows).order_by("-created_at", "-id")


def get_invitation(invitation_id: UUID) -> Invitation:
    return _found(list_invitations().filter(id=invitation_id).first())


def find_open_invitation(*, token_hash: bytes, at: datetime) -> Invitation | None:
    """The pending invitation that a link opens, while it lasts."""
    rows = list_invitations(state=Invitation.State.PENDING)
    return rows.filter(token_hash=token_hash, expires_at__gt=at).first()


def list_keys(*, by: Principal) -> QuerySet[ApiKey]:
    """The keys that this principal may see: its member's own, or with `keys.manage` all."""
    rows = ApiKey.objects.select_related("member__role").order_by("-created_at", "-id")
    return rows if by.may("keys.manage") else rows.filter(member_id=by.member_id)


def get_key(key_id: UUID, *, by: Principal) -> ApiKey:
    """A key that this principal may see; raises NotFound for every other."""
    return _found(list_keys(by=by).filter(id=key_id).first())


def _codes_of(role: str) -> ArraySubquery:
    """The permission codes of a role as an array, within the same query."""
    grants = RolePermission.objects.filter(role_id=OuterRef(role)).order_by("permission__code")
    return ArraySubquery(grants.values("permission__code"))


def _principal(
    member: Member,
    actor: Actor,
    *,
    role: frozenset[str],
    permissions: frozenset[str],
    key: ApiKey | None = None,
) -> Principal:
    return Principal(
        actor=actor,
        org_id=member.org_id,
        member_id=member.id,
        member_label=member.label,
        email=member.email,
        role=member.role.slug,
        role_name=member.role.name,
        role_permissions=role,
        permissions=permissions,
        key_id=key.id if key else None,
        expires_at=key.ends_at if key else None,
        is_unrestricted=key is None or ALL_SCOPES in key.scopes,
    )


def _found(row: ModelT | None) -> ModelT:
    if row is None:
        raise NotFound
    return row


@dataclass(frozen=True, slots=True)
class Counts:
    """What an org has of each; small numbers, counted together."""

    projects: int
    members: int
    keys: int


def count_overview() -> Counts:
    """How much there is in the org; three counts over partial indexes."""
    return Counts(
        projects=Project.objects.filter(archived_at=None).count(),
        members=Member.objects.filter(left_at=None).count(),
        keys=ApiKey.objects.filter(revoked_at=None).count(),
    )
