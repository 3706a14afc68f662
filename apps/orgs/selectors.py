"""Reads of an org's people, projects, roles and keys. All of them need both keys held."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import Count, Min, Model, OuterRef, Q, QuerySet

from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.common.text import is_slug
from apps.orgs import beside
from apps.orgs.models import (
    ApiKey,
    Invitation,
    Member,
    OrgDomain,
    Project,
    Role,
    RolePermission,
)
from apps.orgs.permissions import ALL_SCOPES, OWNER, effective
from apps.orgs.principals import Principal
from apps.tenants import keys
from apps.tenants.selectors import KEY_COUNTS

ModelT = TypeVar("ModelT", bound=Model)

PROJECT, MEMBER, ROLE, INVITATION, KEY, ORG = "prj", "mem", "rol", "inv", "key", "org"
AGENT, DOMAIN = "agt", "dom"


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
        .annotate(codes=_codes_of("role_id"), **beside.expressions())
        .filter(user_id=user_id, left_at=None)
        .first()
    )
    if member is None:
        return None
    allowed = frozenset(member.codes)
    return Principal(
        actor=actor_of(member),
        org_id=member.org_id,
        member_id=member.id,
        member_label=member.label,
        email=member.email,
        role=member.role.slug,
        role_name=member.role.name,
        role_permissions=allowed,
        permissions=allowed,
        groups=tuple(member.groups),
        beside=beside.read(member),
    )


_KEY: Final = " ".join(
    (
        "select k.id, k.name, k.scopes::text, least(k.expires_at, k.grace_until), k.last_used_at,",
        "m.id, m.label, m.email, r.slug, r.name, m.groups::text,",
        "array(select p.code from permissions p where p.id = any(array(",
        "select rp.permission_id from role_permissions rp where rp.role_id = r.id))), a.id, a.slug",
        "from api_keys k join members m on m.id = k.member_id join roles r on r.id = m.role_id",
        "left join agents a on a.id = k.agent_id",
        "where k.key_hash = %(key_hash)s and k.revoked_at is null and m.left_at is null",
        "and (k.expires_at is null or k.expires_at > %(at)s)",
        "and (k.grace_until is null or k.grace_until > %(at)s)",
        "and (k.agent_id is null or a.status = 'active') and",
        KEY_COUNTS,
    )
)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key that was just used, and when it was the last time that was written down."""

    id: UUID
    last_used_at: datetime | None


def find_key_principal(*, key_hash: bytes, at: datetime) -> tuple[Principal, KeyUse] | None:
    """The principal of a key that works now, with the key itself; one query.

    Written out, for it stands before every call of the API, and composing it costs more than
    running it. It asks the apex's index too, so that what is remembered of a key (`find_key_org`)
    opens nothing once the key is revoked or its org suspended. An agent's key works while the agent
    is active.
    """
    org_id = keys.current().org_id
    values = {"key_hash": key_hash, "at": at, "org": org_id}
    rows = connection.fetch(_KEY, values)  # type: ignore[attr-defined]
    if not rows or org_id is None:
        return None
    key_id, name, scopes, ends_at, used_at, *member, codes, agent_id, slug = rows[0]
    member_id, label, email, role, role_name, groups = member
    scopes, allowed = json.loads(scopes), frozenset(codes)
    actor = Actor(ActorType.API_KEY, public_id(KEY, key_id), f"{name} ({label})"[:200])
    if agent_id:
        actor = Actor(ActorType.AGENT, public_id(AGENT, agent_id), slug)
    principal = Principal(
        actor=actor,
        org_id=org_id,
        member_id=member_id,
        member_label=label,
        email=email,
        role=role,
        role_name=role_name,
        role_permissions=allowed,
        permissions=effective(role=allowed, scopes=scopes, as_agent=agent_id is not None),
        key_id=key_id,
        agent_id=agent_id,
        expires_at=ends_at,
        is_unrestricted=ALL_SCOPES in scopes,
        groups=tuple(json.loads(groups)),
    )
    return principal, KeyUse(key_id, used_at)


def actor_of(member: Member) -> Actor:
    """The member as the audit log names them."""
    return Actor(ActorType.USER, public_id(MEMBER, member.id), member.label)


def list_project_links(*, limit: int | None = None) -> list[ProjectLink]:
    """Live projects by name: every one for a choice, the first `limit` for the switcher."""
    rows = Project.objects.filter(archived_at=None).order_by("name", "id")
    return [ProjectLink(*row) for row in rows.values_list("id", "name", "slug")[:limit]]


def find_project_link(id_or_slug: str) -> ProjectLink | None:
    """One project as the switcher names it, also an archived one."""
    try:
        project = get_project(id_or_slug)
    except NotFound:
        return None
    return ProjectLink(project.id, project.name, project.slug)


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


def list_members(
    *, q: str = "", role: str = "", group: str = "", left: bool | None = False
) -> QuerySet[Member]:
    """Members whose name or address says `q`, with their roles; `left` None means all ever.

    By group there is no index, as there is none by tag: under row-level security Postgres asks
    what isn't leakproof, as `@>` of jsonb, only of rows that it has read by their org.
    """
    rows = Member.objects.select_related("role")
    if left is not None:
        rows = rows.filter(left_at__isnull=not left)
    if role:
        rows = rows.filter(role__slug=role)
    if group:
        rows = rows.filter(groups__contains=[group])
    if q:
        rows = rows.filter(Q(label__icontains=q) | Q(email__icontains=q))
    return rows


def list_members_who_may(code: str) -> QuerySet[Member]:
    """Members whose role has the permission."""
    holders = RolePermission.objects.filter(permission__code=code)
    return list_members().filter(role_id__in=holders.values("role_id"))


def get_member(member_id: UUID) -> Member:
    """A member, also one who has left; raises NotFound."""
    return _found(Member.objects.select_related("role").filter(id=member_id).first())


def count_members() -> int:
    """How many are members now."""
    return Member.objects.filter(left_at=None).count()


def list_roles() -> QuerySet[Role]:
    """Roles in order, with `codes` (their permissions) and `member_count`; one query."""
    rows = Role.objects.filter(deleted_at=None)
    return rows.annotate(
        codes=_codes_of("pk"),
        member_count=Count("members", filter=Q(members__left_at=None)),
    ).order_by("rank", "id")


def get_role(id_or_slug: str) -> Role:
    """A role by its public id or its slug, as `list_roles` reads it; raises NotFound."""
    if is_slug(id_or_slug):
        return _found(list_roles().filter(slug=id_or_slug).first())
    return _found(list_roles().filter(id=parse_id(ROLE, id_or_slug)).first())


def list_roles_with(*codes: str) -> QuerySet[Role]:
    """The roles that have all of these permissions, in order; one query."""
    rows = Role.objects.order_by("rank", "id")
    for code in codes:
        rows = rows.filter(grants__permission__code=code)
    return rows


def list_givers(code: str, *, giving: str, limit: int) -> list[str]:
    """Members, by name, whose role gives roles (`giving`) and has the permission to give."""
    given = RolePermission.objects.filter(permission__code__in={code, giving})
    counted = given.values("role").annotate(n=Count("permission")).filter(n=len({code, giving}))
    rows = Member.objects.filter(role__in=counted.values("role"), left_at=None)
    return list(rows.order_by("role__rank", "joined_at").values_list("label", flat=True)[:limit])


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


def list_domains(*, kind: str = "") -> QuerySet[OrgDomain]:
    """The org's domains, newest first; of one kind, if that is given. There are few."""
    rows = OrgDomain.objects.order_by("-created_at", "-id")
    return rows.filter(kind=kind) if kind else rows


def get_domain(ref: str) -> OrgDomain:
    return _found(OrgDomain.objects.filter(id=parse_id(DOMAIN, ref)).first())


def get_mail_domains() -> frozenset[str]:
    """The mail domains that are proved to be the org's."""
    rows = OrgDomain.objects.filter(kind="mail", state="verified")
    return frozenset(rows.values_list("name", flat=True))


def is_outside(email: str, mail_domains: frozenset[str]) -> bool:
    """Whether an address is in none of the org's mail domains; it never is while there are none."""
    return bool(mail_domains) and email.rpartition("@")[2].lower() not in mail_domains


def list_keys(*, by: Principal, agent_id: UUID | None = None, q: str = "") -> QuerySet[ApiKey]:
    """The keys that this principal may see: its member's own, or with `keys.manage` all; of one
    agent, if that is given, and those whose name or beginning says `q`.
    """
    rows = ApiKey.objects.select_related("member__role", "agent").order_by("-created_at", "-id")
    if agent_id:
        rows = rows.filter(agent_id=agent_id)
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(prefix__startswith=q))
    return rows if by.may("keys.manage") else rows.filter(member_id=by.member_id)


def narrow_keys(rows: QuerySet[ApiKey], *, works: bool, at: datetime) -> QuerySet[ApiKey]:
    """Those of the keys that open something at that time, or those that don't any more."""
    ended = Q(revoked_at__isnull=False) | Q(expires_at__lte=at) | Q(grace_until__lte=at)
    lives = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=at))
    lives &= Q(grace_until=None) | Q(grace_until__gt=at)
    return rows.filter(lives if works else ended)


def get_key(key_id: UUID, *, by: Principal) -> ApiKey:
    """A key that this principal may see; raises NotFound for every other."""
    return _found(list_keys(by=by).filter(id=key_id).first())


def _codes_of(role: str) -> ArraySubquery:
    """The permission codes of a role as an array, within the same query."""
    grants = RolePermission.objects.filter(role_id=OuterRef(role)).order_by("permission__code")
    return ArraySubquery(grants.values("permission__code"))


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
        members=count_members(),
        keys=ApiKey.objects.filter(revoked_at=None).count(),
    )


def list_keys_that_end(*, by: Principal, after: datetime, until: datetime) -> QuerySet[ApiKey]:
    """Keys that this principal may see and that end within that time, unless one replaced them."""
    rows = list_keys(by=by).filter(expires_at__gt=after, expires_at__lte=until)
    return rows.filter(revoked_at=None, grace_until=None).order_by("expires_at", "id")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait, and when the first of them ends."""

    number: int
    ends_at: datetime


def find_waiting_invitations(*, at: datetime) -> Waiting:
    """The invitations that can still be accepted."""
    rows = Invitation.objects.filter(state=Invitation.State.PENDING, expires_at__gt=at)
    found = rows.aggregate(number=Count("id"), ends_at=Min("expires_at"))
    return Waiting(found["number"], found["ends_at"] or at)


def list_owner_addresses(limit: int) -> list[str]:
    """Where the org's owners are reached, those first who have been here longest."""
    rows = Member.objects.filter(role__slug=OWNER, left_at=None).order_by("joined_at", "id")
    return list(rows.values_list("email", flat=True)[:limit])
