"""Deciding a request: votes until there are enough, one rejection, or breaking the glass.

The request's row is locked first, so votes come one after the other and the last one counts all.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.approvals.errors import AlreadyVoted, ApprovalClosed, ApprovalExpired, OwnRequest
from apps.approvals.models import Approval, ApprovalStatus, Clock, Verdict, Vote
from apps.approvals.selectors import list_voter_names
from apps.approvals.services import notices
from apps.approvals.services.recording import record, save_move
from apps.approvals.services.requests import hold
from apps.common.errors import Invalid, PermissionDenied
from apps.orgs.denials import PEOPLE_NAMED, listed
from apps.orgs.models import Role
from apps.orgs.principals import Principal

COMMENT_MAX = 500


def approve(*, approval_id: UUID, voter: Principal, comment: str, at: datetime) -> Approval:
    """Vote for a request; with the last vote that it needs, it is approved.

    Raises NotFound, ApprovalExpired, ApprovalClosed, OwnRequest for who is behind it, AlreadyVoted,
    PermissionDenied for who isn't asked.
    """
    with transaction.atomic():
        approval = _hold_open(approval_id, voter)
        _cast(approval, Verdict.APPROVE, voter, comment, at)
        given = approval.votes.filter(verdict=Verdict.APPROVE).count()
        if is_enough := given >= approval.quorum:
            approval.approve(by_id=voter.member_id, at=at)
            save_move(approval)
            notices.tell_decided(approval, voter, comment, at)
        act = "request.approved" if is_enough else "vote.cast"
        votes = {"given": given, "needed": approval.quorum}
        record(approval, act, voter.actor, at, votes=votes, comment=comment)
    return approval


def reject(*, approval_id: UUID, voter: Principal, comment: str, at: datetime) -> Approval:
    """Vote against a request, which rejects it whatever others said. Raises as `approve` does."""
    with transaction.atomic():
        approval = _hold_open(approval_id, voter)
        _cast(approval, Verdict.REJECT, voter, comment, at)
        approval.reject(by_id=voter.member_id, at=at)
        save_move(approval)
        notices.tell_decided(approval, voter, comment, at)
        record(approval, "request.rejected", voter.actor, at, comment=comment)
    return approval


def break_glass(*, approval_id: UUID, by: Principal, reason: str, at: datetime) -> Approval:
    """Approve a request alone in an emergency, whatever its rule asks for; others are alerted.

    Not one's own: there are two people always. Raises as `approve` does, Invalid without a reason.
    """
    reason = reason.strip()
    if not reason:
        raise Invalid.of("reason", "Say what the emergency is. It stays on record.")
    with transaction.atomic():
        approval = hold(approval_id)
        _check_open(approval)
        _check_other(approval, by)
        approval.approve(by_id=by.member_id, at=at, glass_reason=reason)
        save_move(approval)
        notices.tell_glass(approval, by, at)
        record(approval, "glass.broken", by.actor, at, reason=reason)
    return approval


def _hold_open(approval_id: UUID, voter: Principal) -> Approval:
    """Lock a request that this principal may vote on now."""
    approval = hold(approval_id)
    _check_open(approval)
    _check_other(approval, voter)
    if approval.role is not None and approval.role.slug != voter.role:
        raise _not_asked(approval, approval.role, voter)
    if approval.votes.filter(member_id=voter.member_id).exists():
        raise AlreadyVoted("A member has one vote, and it can't be changed.")
    return approval


def _not_asked(approval: Approval, role: Role, voter: Principal) -> PermissionDenied:
    """Names who is asked, to who may see members."""
    detail = f"Only members with the role {role.name} decide this."
    people = list_voter_names(approval, limit=PEOPLE_NAMED) if voter.may("members.view") else []
    if not people:
        return PermissionDenied(detail, granted_by_roles=[role.slug])
    detail = f"{detail} {listed(people, 'or')} can."
    return PermissionDenied(detail, granted_by_roles=[role.slug], ask=people)


def _check_open(approval: Approval) -> None:
    """Asks for the time after the lock was waited for."""
    status = str(approval.status)
    over = Approval.objects.filter(id=approval.id, expires_at__lte=Clock()).exists()
    if status == ApprovalStatus.EXPIRED or (status == ApprovalStatus.PENDING and over):
        raise ApprovalExpired("Nobody decided it in time, which means no. It can be asked again.")
    if status != ApprovalStatus.PENDING:
        raise ApprovalClosed(f"It is {approval.get_status_display().lower()}.")


def _check_other(approval: Approval, by: Principal) -> None:
    """Only a person decides, and another one than who is behind the request."""
    if by.agent_id is not None:
        raise PermissionDenied("An agent can't decide what people were asked.")
    if by.member_id in approval.barred:
        raise OwnRequest("You are behind this request. Somebody else has to decide it.")


def _cast(
    approval: Approval, verdict: Verdict, voter: Principal, comment: str, at: datetime
) -> None:
    Vote.objects.create(
        approval=approval,
        member_id=voter.member_id,
        barred=approval.barred,
        verdict=verdict,
        comment=comment,
        at=at,
    )
