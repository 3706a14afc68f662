"""Inviting people by mail.

The link's token is made where the mail is written, by the task: it is in no message of the broker
and in no row, only its hash is. Until `sent_at` is set the mail is owed, so a lost wake-up or a
crash costs a delay; a mail sent twice holds two links, of which the later works.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse

from apps.common.actors import SYSTEM, Actor
from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.jobs import enqueue
from apps.orgs.errors import AlreadyInvited, AlreadyMember, InvitationClosed
from apps.orgs.models import Invitation, Member
from apps.orgs.principals import Principal
from apps.orgs.selectors import INVITATION, actor_of, count_members
from apps.orgs.services.members import check_may_give, get_grantable_role, still_covers
from apps.orgs.services.recording import recorder
from apps.orgs.tokens import hash_of
from apps.tenants import selectors as tenants
from apps.tenants.services import key_index, membership
from apps.tenants.services.plans import hold_room

LIFE: Final = timedelta(days=7)
_PATIENCE: Final = timedelta(seconds=30)
_FIRST_PAUSE: Final = timedelta(minutes=1)
_BATCH: Final = 100
_record = recorder("invitation", INVITATION)


def invite(*, email: str, role: str, by: Principal, at: datetime) -> Invitation:
    """Invite a person to a role; the mail leaves after the commit.

    Raises Invalid, BeyondOwnPower for a role that `by` may not give, AlreadyMember, AlreadyInvited,
    PlanLimit where nobody more could accept.
    """
    email = _check_email(email)
    try:
        with transaction.atomic():
            hold_room("members", count=lambda: count_members() + _count_open(at))
            granted = get_grantable_role(role, by=by)
            if Member.objects.filter(email__iexact=email, left_at=None).exists():
                raise AlreadyMember
            invitation = Invitation.objects.create(
                email=email,
                role=granted,
                invited_by_id=by.member_id,
                created_at=at,
                expires_at=at + LIFE,
            )
            enqueue("orgs.send_invitation", invitation_id=str(invitation.id))
            _record(invitation, "created", by.actor, at, new={"email": email, "role": role})
    except IntegrityError as error:
        raise AlreadyInvited(f"{email} has an open invitation. Send it again.") from error
    return invitation


def resend_invitation(*, invitation_id: UUID, by: Principal, at: datetime) -> Invitation:
    """Send the mail again, with a new link and a new expiry; the old link stops working.

    Raises NotFound, InvitationClosed, BeyondOwnPower if its role isn't `by`'s to give.
    """
    with transaction.atomic():
        invitation = _lock_open(invitation_id)
        check_may_give(invitation.role, by=by)
        _resend(invitation, by.actor, at)
    return invitation


def resend_for(*, invitation_id: UUID, actor: Actor, at: datetime) -> Invitation:
    """Send the mail again for whoever asked an operator to; it gives no more than was given.

    Raises NotFound, InvitationClosed.
    """
    with transaction.atomic():
        invitation = _lock_open(invitation_id)
        _resend(invitation, actor, at)
    return invitation


def expire_invitation(*, invitation_id: UUID, actor: Actor, at: datetime) -> None:
    """Have an invitation expire now; its link stops working with the commit.

    Raises NotFound, InvitationClosed.
    """
    with transaction.atomic():
        invitation = _lock_open(invitation_id)
        _expire(invitation)
        _record(invitation, "expired", actor, at, old=_facts(invitation))


def revoke_invitation(*, invitation_id: UUID, by: Principal, at: datetime) -> None:
    """Take an invitation back; its link stops working with the commit.

    Raises NotFound, InvitationClosed.
    """
    with transaction.atomic():
        invitation = _lock_open(invitation_id)
        _forget_link(invitation)
        invitation.revoke()
        invitation.save(update_fields=["state", "token_hash"])
        _record(invitation, "revoked", by.actor, at, old=_facts(invitation))


def deliver_invitation(*, invitation_id: UUID, at: datetime) -> bool:
    """Make the link, then write the mail; whether there was one to write.

    The link is committed before the mail leaves, so a link that arrives always works. If the mail
    server refuses, the error goes on to the task's log and the sweeper tries again, each time
    after as long a pause as the invitation is old.
    """
    with transaction.atomic():
        invitation = _find_owed(invitation_id, at)
        if invitation is None:
            return False
        invitation.next_try_at = at + max(_FIRST_PAUSE, at - invitation.created_at)
        invitation.save(update_fields=["next_try_at"])
        token = _renew_link(invitation)
    _send_mail(invitation, token)
    Invitation.objects.filter(id=invitation.id, token_hash=hash_of(token)).update(sent_at=at)
    return True


def accept_invitation(*, invitation_id: UUID, user_id: UUID, at: datetime) -> Member:
    """Make the invited person a member with the role that the invitation names.

    Who may accept is said by the address: it must be a verified one of this user. It gives what
    its inviter may give at that moment. Raises NotFound, InvitationClosed, PermissionDenied for
    anybody else, AlreadyMember, PlanLimit.
    """
    with transaction.atomic():
        hold_room("members", count=count_members)
        invitation = _lock_open(invitation_id)
        if invitation.expires_at <= at:
            raise InvitationClosed("The invitation has expired. Ask for a new one.")
        if not still_covers(invitation):
            raise InvitationClosed("Who sent it may no longer give this role. Ask for a new one.")
        _check_addressee(invitation, user_id)
        member = _join(invitation, user_id, at)
        _forget_link(invitation)
        invitation.accept(by=member)
        invitation.save(update_fields=["state", "accepted_by", "token_hash"])
        membership.admit_user(org_id=member.org_id, user_id=user_id, at=at)
        facts = {"email": invitation.email, "role": invitation.role.slug, "label": member.label}
        _record(invitation, "accepted", actor_of(member), at, new=facts)
    return member


def sweep_invitations(at: datetime) -> None:
    """The sweeper's step: close what has expired, and send what a lost wake-up left unsent."""
    expire_invitations(at=at)
    lost = Q(next_try_at=None, created_at__lt=at - _PATIENCE)
    owed = Invitation.objects.filter(lost | Q(next_try_at__lte=at), state="pending", sent_at=None)
    for invitation_id in owed.values_list("id", flat=True)[:_BATCH]:
        enqueue("orgs.send_invitation", invitation_id=str(invitation_id))


def expire_invitations(*, at: datetime) -> int:
    """Close invitations that nobody accepted in time; how many, at most a batch."""
    with transaction.atomic():
        rows = Invitation.objects.select_for_update(skip_locked=True, of=("self",))
        due = list(rows.select_related("role").filter(state="pending", expires_at__lte=at)[:_BATCH])
        for invitation in due:
            _expire(invitation)
        for invitation in due:
            _record(invitation, "expired", SYSTEM, at, old=_facts(invitation))
    return len(due)


def invitation_url(token: str) -> str:
    """The link's address on the apex."""
    path = reverse("orgs_apex:invitation", args=[token], urlconf=settings.PUBLIC_SCHEMA_URLCONF)
    return f"{settings.PUBLIC_URL}{path}"


def _count_open(at: datetime) -> int:
    return Invitation.objects.filter(state=Invitation.State.PENDING, expires_at__gt=at).count()


def _join(invitation: Invitation, user_id: UUID, at: datetime) -> Member:
    """A new member row, or the old one of somebody who comes back."""
    user = tenants.get_user(user_id)
    label, email = user.name or user.email[:120], user.email
    member = Member.objects.select_for_update().filter(user_id=user_id).first()
    if member is None:
        return Member.objects.create(
            user_id=user_id, label=label, email=email, role=invitation.role, joined_at=at
        )
    if member.left_at is None:
        raise AlreadyMember
    member.label, member.email, member.role = label, email, invitation.role
    member.joined_at, member.left_at = at, None
    member.save(update_fields=["label", "email", "role", "joined_at", "left_at"])
    return member


def _resend(invitation: Invitation, actor: Actor, at: datetime) -> None:
    """Owe the mail anew, with a whole life before it."""
    old = {"expires_at": invitation.expires_at}
    invitation.sent_at = invitation.next_try_at = None
    invitation.expires_at = at + LIFE
    invitation.save(update_fields=["sent_at", "next_try_at", "expires_at"])
    enqueue("orgs.send_invitation", invitation_id=str(invitation.id))
    _record(invitation, "resent", actor, at, old=old, new={"expires_at": invitation.expires_at})


def _expire(invitation: Invitation) -> None:
    _forget_link(invitation)
    invitation.expire()
    invitation.save(update_fields=["state", "token_hash"])


def _check_addressee(invitation: Invitation, user_id: UUID) -> None:
    if not tenants.has_confirmed(user_id=user_id, email=invitation.email):
        raise PermissionDenied("The invitation was sent to another address.")


def _find_owed(invitation_id: UUID, at: datetime) -> Invitation | None:
    rows = Invitation.objects.select_for_update(of=("self",))
    return (
        rows.select_related("role", "invited_by")
        .filter(Q(next_try_at=None) | Q(next_try_at__lte=at), state="pending", sent_at=None)
        .filter(id=invitation_id, expires_at__gt=at)
        .first()
    )


def _renew_link(invitation: Invitation) -> str:
    token = secrets.token_urlsafe(32)
    _forget_link(invitation)
    invitation.token_hash = hash_of(token)
    invitation.save(update_fields=["token_hash"])
    key_index.index_invitation(
        token_hash=invitation.token_hash,
        org_id=invitation.org_id,
        email=invitation.email,
        expires_at=invitation.expires_at,
    )
    return token


def _forget_link(invitation: Invitation) -> None:
    if invitation.token_hash is not None:
        key_index.forget_invitation(token_hash=bytes(invitation.token_hash))


def _send_mail(invitation: Invitation, token: str) -> None:
    org = tenants.get_org(invitation.org_id)
    context = {"invitation": invitation, "org": org, "url": invitation_url(token)}
    send_mail(
        subject=f"Join {' '.join(org.name.split())} on Mandate",  # a header is one line
        message=render_to_string("orgs/email/invitation.txt", context),
        from_email=None,
        recipient_list=[invitation.email],
    )


def _lock_open(invitation_id: UUID) -> Invitation:
    rows = Invitation.objects.select_for_update(of=("self",)).select_related("role", "invited_by")
    invitation = rows.filter(id=invitation_id).first()
    if invitation is None:
        raise NotFound
    if invitation.state != Invitation.State.PENDING:
        raise InvitationClosed
    return invitation


def _check_email(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid.of("email", "Give a mail address.") from error
    if len(email) > 254:
        raise Invalid.of("email", "Use at most 254 characters.")
    return email


def _facts(invitation: Invitation) -> dict[str, Any]:
    return {"email": invitation.email, "role": invitation.role.slug}
