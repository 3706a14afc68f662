"""An operator's looks through a member's eyes, on record on the apex and with the org."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.tenants import apex_log
from apps.tenants.errors import OrgNotReady
from apps.tenants.impersonation import Impersonation
from apps.tenants.models import Membership, Session, User
from apps.tenants.selectors import OrgRef, find_user_by_email, get_org
from apps.tenants.services import tickets
from apps.tenants.sessions import IMPERSONATION

REASON_MAX: Final = 500


def start(
    *,
    org: OrgRef,
    email: str,
    reason: str,
    until: datetime,
    operator: User,
    parent_key: str,
    nonce_hash: bytes,
    at: datetime,
) -> str:
    """A ticket to the org's host for an operator who wants to see it as this member.

    Raises OrgNotReady for an org that its members can't enter either; Invalid for somebody who is
    no active member or is an operator, and for a reason that says nothing or too much.
    """
    if not org.is_active:
        raise OrgNotReady(f"{org.slug} is {org.state}: its workspace is shut, to its members too.")
    if not 1 <= len(reason.strip()) <= REASON_MAX:
        raise Invalid.of("reason", f"Say why, in 1 to {REASON_MAX} characters.")
    member = _member(org, email, operator)
    look = Impersonation(
        operator.pk, operator.email, member.pk, member.email, reason.strip(), until
    )
    with transaction.atomic():
        token = tickets.issue_ticket(
            org_id=org.id,
            user_id=member.pk,
            parent_key=parent_key,
            nonce_hash=nonce_hash,
            at=at,
            impersonation=look,
        )
        _record(look, org, "started", at, {"reason": look.reason, "until": until.isoformat()})
    return token


def end(look: Impersonation, *, org: OrgRef, at: datetime) -> None:
    """Put on record that a look is over before its time; the caller ends the session."""
    _record(look, org, "ended", at, {})


def end_below(*, parent_key: str, at: datetime) -> None:
    """Put on record the end of all looks that hang on a session on the apex that ends now."""
    rows = Session.objects.filter(parent_id=parent_key, impersonator__isnull=False)
    for row in rows.filter(expire_date__gt=at):
        noted = row.get_decoded().get(IMPERSONATION)
        if noted and row.org_id:
            end(Impersonation.from_json(noted), org=get_org(row.org_id), at=at)


def end_all_of(*, operator_id: UUID, at: datetime) -> None:
    """End all looks of an operator, on record: nothing that an old password opened may last.

    A look has the member's password in its hash and not the operator's, and the sign-in on which
    it hangs is found to be over only at its next request.
    """
    with transaction.atomic():
        rows = Session.objects.filter(impersonator_id=operator_id)
        for parent_key in set(rows.values_list("parent_id", flat=True)):
            end_below(parent_key=str(parent_key), at=at)
        rows.delete()


def note_refused(
    look: Impersonation, *, org: OrgRef, method: str, route: str, at: datetime
) -> None:
    """Put on record what an operator tried to change while they could only look."""
    _record(look, org, "refused", at, {"method": method, "route": route})


def _member(org: OrgRef, email: str, operator: User) -> User:
    """The one to look as: an active member, and nobody who runs the installation."""
    user = find_user_by_email(email)
    if user is None or not user.is_active or not _is_in(org.id, user):
        raise Invalid.of("email", f"No active member of {org.name} has this address.")
    if user.pk == operator.pk:
        raise Invalid.of("email", "This is you. Enter the organization as its member.")
    if user.is_staff or user.is_superuser:
        raise Invalid.of("email", "This is an operator. Nobody looks as another operator.")
    return user


def _is_in(org_id: UUID, user: User) -> bool:
    return Membership.objects.filter(org_id=org_id, user=user).exists()


def _record(
    look: Impersonation, org: OrgRef, verb: str, at: datetime, facts: Mapping[str, str]
) -> None:
    with transaction.atomic():
        apex_log.record(
            actor=look.actor,
            action=f"tenants.impersonation.{verb}",
            subject_type="user",
            subject_id=public_id("usr", look.member_id),
            at=at,
            new={"org": org.slug, "member": look.member, **facts},
            also_in=org,
        )
