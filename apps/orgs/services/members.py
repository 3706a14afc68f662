"""Who is in the org, as what, and how they leave.

Everything that could take the last owner away first locks the owner role's row, so two such
changes run one after the other and the second counts what the first has left.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.common.actors import Actor
from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.orgs import leaving, ruled
from apps.orgs.errors import BeyondOwnPower, LastOwner
from apps.orgs.labels import check_labels
from apps.orgs.models import Invitation, Member, Role
from apps.orgs.permissions import OWNER
from apps.orgs.principals import Principal
from apps.orgs.selectors import INVITATION, MEMBER, actor_of
from apps.orgs.services.keys import record_revoked, stop_keys_of
from apps.orgs.services.recording import recorder
from apps.tenants.services import key_index, membership

INVITING: Final = "invitations.manage"
OWNERS: Final = "owners.manage"
_record = recorder("member", MEMBER)
_record_invitation = recorder("invitation", INVITATION)


def change_member(
    *,
    member_id: UUID,
    role: str | None = None,
    groups: list[str] | None = None,
    by: Principal,
    at: datetime,
) -> Member:
    """Change what is given of a member, or nothing at all; raises what either change raises."""
    with transaction.atomic():
        if role is not None:
            change_member_role(member_id=member_id, role=role, by=by, at=at)
        if groups is not None:
            set_member_groups(member_id=member_id, groups=groups, by=by, at=at)
        return _lock(member_id)


def change_member_role(*, member_id: UUID, role: str, by: Principal, at: datetime) -> Member:
    """Give a member another role.

    Raises NotFound, Invalid for a role that doesn't exist, BeyondOwnPower where either role may
    more than `by`, LastOwner.
    """
    with transaction.atomic():
        lock_owner_role()
        member = _lock(member_id)
        new_role, old = get_grantable_role(role, by=by), member.role.slug
        if new_role.slug == old:
            return member
        check_may_touch(member, by=by)
        _keep_an_owner(member)
        member.role = new_role
        member.save(update_fields=["role"])
        withdraw_beyond(Q(invited_by=member), by.actor, at)
        _record(member, "role_changed", by.actor, at, old={"role": old}, new={"role": role})
    return member


def set_member_groups(*, member_id: UUID, groups: list[str], by: Principal, at: datetime) -> Member:
    """Have a member be in these groups and in no others; their order says nothing.

    Raises NotFound, Invalid, BeyondOwnPower for somebody who may more than `by`, and
    PermissionDenied for other groups than before, one's own too, from who may not change what
    policies go by (apps.orgs.ruled).
    """
    new = sorted(check_labels(groups, field="groups"))
    with transaction.atomic():
        member = _lock(member_id)
        old = member.groups
        if new == old:
            return member
        check_may_touch(member, by=by)
        if not ruled.may(by):
            raise ruled.refused("a member’s groups")
        member.groups = new
        member.save(update_fields=["groups"])
        _record(member, "groups_changed", by.actor, at, old={"groups": old}, new={"groups": new})
    return member


def remove_member(*, member_id: UUID, by: Principal, at: datetime) -> None:
    """Shut a member out: sessions and keys end with the commit; what they did stays on record.

    Raises NotFound, BeyondOwnPower for somebody who may more than `by`, LastOwner,
    PermissionDenied for a key that would throw out the member it acts for.
    """
    if by.key_id is not None and member_id == by.member_id:
        raise PermissionDenied("Only the member in person can leave.")
    with transaction.atomic():
        lock_owner_role()
        member = _lock(member_id)
        if member.id != by.member_id:
            check_may_touch(member, by=by)
        _end(member, "removed", by.actor, at)


def leave_org(*, by: Principal, at: datetime) -> None:
    """Go by oneself; only in a browser, for a key that leaks must not throw its owner out.

    Raises LastOwner, PermissionDenied for a key.
    """
    if by.key_id is not None:
        raise PermissionDenied("Only the member in person can leave.")
    with transaction.atomic():
        lock_owner_role()
        _end(_lock(by.member_id), "left", by.actor, at)


def follow_person(*, user_id: UUID, name: str, email: str, at: datetime) -> None:
    """Call a member by the name that the person goes by now, and write to their present address."""
    rows = Member.objects.select_for_update(of=("self",))
    member = rows.filter(user_id=user_id, left_at=None).first()
    if member is None:
        return
    if member.label != name:
        old, member.label = member.label, name
        _follow(member, "renamed", at, label=old)
    if member.email != email:
        old, member.email = member.email, email
        _follow(member, "email_changed", at, email=old)


def lock_owner_role() -> None:
    """Take the one lock under which owners come and go."""
    Role.objects.select_for_update(no_key=True).get(slug=OWNER)


def get_grantable_role(slug: str, *, by: Principal) -> Role:
    """A role that `by` may give to others, held until the commit, so that it isn't deleted.

    Raises Invalid for an unknown role, BeyondOwnPower.
    """
    role = Role.objects.select_for_update(no_key=True).filter(slug=slug, deleted_at=None).first()
    if role is None:
        raise Invalid.of("role", "There is no such role.")
    check_may_give(role, by=by)
    return role


def check_may_give(role: Role, *, by: Principal) -> None:
    """Nobody gives more than they may themselves, and only who may make owners makes them.

    A key counts with its scopes, so one that is cut down can't make anybody stronger than itself.
    Raises BeyondOwnPower.
    """
    missing = sorted(codes_of(role) - by.permissions)
    if role.slug == OWNER and not by.may(OWNERS):
        missing = [OWNERS]
    if missing:
        detail = f"You may not make anybody {role.name.lower()}: you lack {missing[0]} yourself."
        raise BeyondOwnPower(detail, permission=missing[0])


def check_may_touch(member: Member, *, by: Principal) -> None:
    """Nobody overrules who may more than they: an owner only who may unmake owners, anybody else
    only whose own role allows all that theirs does. Raises BeyondOwnPower.

    A key counts with its member's whole role here: its scopes say what it does, not whom it
    outranks.
    """
    if member.role.slug == OWNER and not by.may(OWNERS):
        detail = f"Only an owner may change or remove an owner: it takes {OWNERS}."
        raise BeyondOwnPower(detail, permission=OWNERS)
    if missing := sorted(codes_of(member.role) - by.role_permissions):
        detail = f"{member.label} may more than you: their role has {missing[0]}."
        raise BeyondOwnPower(detail, permission=missing[0])


def codes_of(role: Role) -> frozenset[str]:
    """What a role may now."""
    return frozenset(role.grants.values_list("permission__code", flat=True))


def _follow(member: Member, verb: str, at: datetime, **old: str) -> None:
    """Keep what a person has changed of themselves, and put it on record."""
    member.save(update_fields=list(old))
    new = {field: getattr(member, field) for field in old}
    _record(member, verb, actor_of(member), at, old=old, new=new)


def _end(member: Member, verb: str, actor: Actor, at: datetime) -> None:
    _keep_an_owner(member)
    old = {"role": member.role.slug, "label": member.label, "groups": member.groups}
    member.left_at, member.groups = at, []  # who comes back is in none, as an invitation says none
    member.save(update_fields=["left_at", "groups"])
    membership.remove_user(org_id=member.org_id, user_id=member.user_id)
    withdrawn = _withdraw(Invitation.objects.filter(invited_by=member))
    stopped = stop_keys_of(member=member, at=at)
    leaving.follow_all(member_id=member.id, actor=actor, at=at)
    _record_withdrawn(withdrawn, actor, at)
    record_revoked(stopped, actor, at)
    _record(member, verb, actor, at, old=old)


def still_covers(invitation: Invitation) -> bool:
    """Whether who invited may invite still, and themselves all that the invitation gives."""
    inviter = invitation.invited_by
    codes = codes_of(inviter.role)
    return inviter.left_at is None and INVITING in codes and codes >= codes_of(invitation.role)


def withdraw_beyond(which: Q, actor: Actor, at: datetime) -> None:
    """Take back those of the open invitations that give what their inviter may not, or no longer:
    nobody comes back, or brings anybody in, by a link that they made before.
    """
    found = Invitation.objects.filter(which, state=Invitation.State.PENDING)
    rows = found.select_related("role", "invited_by__role")
    beyond = [invitation.id for invitation in rows if not still_covers(invitation)]
    _record_withdrawn(_withdraw(Invitation.objects.filter(id__in=beyond)), actor, at)


def _withdraw(invitations: QuerySet[Invitation]) -> list[Invitation]:
    """Take these back; they are put on record when no other lock is left to take."""
    rows = invitations.select_for_update(of=("self",)).select_related("role").order_by("id")
    found = list(rows.filter(state=Invitation.State.PENDING))
    for invitation in found:
        if invitation.token_hash:
            key_index.forget_invitation(token_hash=bytes(invitation.token_hash))
        invitation.revoke()
        invitation.save(update_fields=["state", "token_hash"])
    return found


def _record_withdrawn(found: list[Invitation], actor: Actor, at: datetime) -> None:
    for invitation in found:
        facts = {"email": invitation.email, "role": invitation.role.slug}
        _record_invitation(invitation, "revoked", actor, at, old=facts)


def _keep_an_owner(member: Member) -> None:
    """Under the lock: refuse to lose the last owner."""
    if member.role.slug != OWNER:
        return
    others = Member.objects.filter(role_id=member.role_id, left_at=None).exclude(id=member.id)
    if not others.exists():
        raise LastOwner("Make somebody else an owner first.")


def _lock(member_id: UUID) -> Member:
    """The member, held; what refers to them meanwhile, such as a notice, needn't wait."""
    rows = Member.objects.select_for_update(of=("self",), no_key=True).select_related("role")
    member = rows.filter(id=member_id, left_at=None).first()
    if member is None:
        raise NotFound
    return member
