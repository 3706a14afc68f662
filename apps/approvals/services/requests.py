"""A request's life beside the votes: made, used, taken back.

All that other apps call stands in their transaction and puts itself on record, so it comes last
there: a run's lock, then the request's, then the audit log's. Whether something is in time, only
Postgres' clock says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Never
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from apps.approvals import registry
from apps.approvals.errors import (
    ApprovalClosed,
    ApprovalExpired,
    ApprovalUsed,
    ManifestChanged,
    NotApproved,
    PayloadChanged,
    PolicyChanged,
)
from apps.approvals.models import Approval, ApprovalRule, ApprovalStatus, Clock
from apps.approvals.selectors import About, find_rule, is_own
from apps.approvals.services import notices
from apps.approvals.services.recording import record, save_move
from apps.common.actors import SYSTEM, Actor
from apps.common.errors import NotFound, PermissionDenied
from apps.common.json import Object
from apps.orgs.principals import Principal
from apps.tenants.services import activity
from apps.trust.canonical import digest

LIFE: Final = timedelta(hours=24)
"""How long a request waits where no rule says otherwise."""
ANYTHING: Final = About()


def request_approval(
    *,
    subject_type: str,
    subject_id: UUID,
    title: str,
    payload: Object,
    policy_version: int | None,
    manifest_digest: str | None,
    requester: Actor,
    human_id: UUID | None,
    reasons: Sequence[str],
    evidence: Object,
    expires_at: datetime | None,
    at: datetime,
    about: About = ANYTHING,
    also_barred: Sequence[UUID] = (),
    instead: bool = False,
) -> Approval:
    """Ask people whether exactly this may happen, once; within the caller's transaction.

    `human_id` is the member behind the requester, who can't decide it, nor can those of
    `also_barred`. It waits as long as its rule says, but not beyond `expires_at`. It comes
    `instead` of whatever is still open about the subject, which is void: nobody is told of that,
    for it is asked again. Raises JsonInvalid for a payload that has no canonical form.
    """
    registry.get_subject(subject_type)
    void = _close(_about(subject_type, [subject_id]), at) if instead else []
    rule = find_rule(subject_type, about)
    approval = Approval.objects.create(
        subject_type=subject_type,
        subject_id=subject_id,
        title=title[:200],
        payload=payload,
        payload_digest=digest(payload),
        policy_version=policy_version,
        manifest_digest=manifest_digest or "",
        agent_id=about.agent_id,
        tool=about.tool,
        project_id=about.project_id,
        requester_type=requester.type.value,
        requester_id=requester.id,
        requester_label=requester.label,
        human_id=human_id,
        barred=sorted({human_id, *also_barred} - {None}, key=str),
        reasons=list(reasons),
        evidence=evidence,
        rule=rule,
        quorum=rule.quorum if rule else 1,
        role_id=rule.role_id if rule else None,
        created_at=at,
        expires_at=_expiry(rule, expires_at, at),
    )
    activity.due_at(org_id=approval.org_id, at=approval.expires_at)
    notices.tell_made(approval, at)
    _record_cancelled(void, SYSTEM, at)
    record(approval, "request.made", requester, at, expires_at=approval.expires_at)
    return approval


def consume(
    *,
    approval_id: UUID,
    payload_digest: bytes,
    policy_version: int | None,
    manifest_digest: str | None,
    at: datetime,
) -> None:
    """Use an approval, for the one time that it is good for; within the caller's transaction.

    One UPDATE that names all it depends on, so of many who try at once one succeeds. `at` is only
    put down; Postgres' clock decides. Raises NotFound, or the ApprovalRefused that says why.
    """
    rows = Approval.objects.filter(
        id=approval_id,
        status=ApprovalStatus.APPROVED,
        payload_digest=payload_digest,
        manifest_digest=manifest_digest or "",
        expires_at__gt=Clock(),
    )
    same = {"policy_version": policy_version}
    rows = rows.filter(**(same if policy_version is not None else {"policy_version__isnull": True}))
    if not rows.update(status=ApprovalStatus.CONSUMED, ended_at=at):
        _explain(approval_id, payload_digest, policy_version, manifest_digest or "")
    used = Approval.objects.get(id=approval_id)
    record(used, "request.used", SYSTEM, at)


def cancel_for(
    *, subject_type: str, subject_ids: Collection[UUID], at: datetime, actor: Actor = SYSTEM
) -> int:
    """Take back whatever is still open about subjects that are over; within the caller's
    transaction. How many there were.

    A subject says by itself that it is over, so only who was told of an approval is told.
    """
    found = _close(_about(subject_type, subject_ids), at)
    for approval in found:
        if approval.approver_id is not None:
            notices.tell_over(approval, actor, at)
    return _record_cancelled(found, actor, at)


def cancel_these(*, approval_ids: Collection[UUID], at: datetime, actor: Actor = SYSTEM) -> int:
    """Take back those of these requests that are still open, for what they ask can't happen any
    more, and tell who asked and who could have decided; within the caller's transaction. How many
    there were.
    """
    found = _close(Approval.objects.filter(id__in=approval_ids), at)
    for approval in found:
        notices.tell_cancelled(approval, at)
    return _record_cancelled(found, actor, at)


def cancel_request(*, approval_id: UUID, by: Principal, at: datetime) -> Approval:
    """Let who asked take it back; what waits for it ends as if it had been rejected.

    Raises NotFound, PermissionDenied for anybody else, ApprovalClosed.
    """
    with transaction.atomic():
        approval = hold(approval_id)
        if not is_own(approval, by):
            raise PermissionDenied("Only who asked for it can take it back.")
        if str(approval.status) not in Approval.OPEN:
            raise ApprovalClosed(f"It is {approval.get_status_display().lower()}.")
        approval.cancel(at=at)
        save_move(approval)
        record(approval, "request.cancelled", by.actor, at)
    return approval


def hold(approval_id: UUID) -> Approval:
    """Lock a request for the rest of the transaction; raises NotFound."""
    rows = Approval.objects.select_for_update(of=("self",)).select_related("role")
    approval = rows.filter(id=approval_id).first()
    if approval is None:
        raise NotFound("There is no such approval.")
    return approval


def _about(subject_type: str, subject_ids: Collection[UUID]) -> QuerySet[Approval]:
    return Approval.objects.filter(subject_type=subject_type, subject_id__in=subject_ids)


def _close(rows: QuerySet[Approval], at: datetime) -> list[Approval]:
    """Cancel those that are open. Whoever calls it tells of all before the first is put on record:
    what people are told takes locks, too, and the audit log's is the last.
    """
    found = list(rows.filter(status__in=Approval.OPEN).select_for_update().order_by("id"))
    for approval in found:
        approval.cancel(at=at)
        save_move(approval)
    return found


def _record_cancelled(found: Collection[Approval], actor: Actor, at: datetime) -> int:
    for approval in found:
        record(approval, "request.cancelled", actor, at)
    return len(found)


def _expiry(rule: ApprovalRule | None, latest: datetime | None, at: datetime) -> datetime:
    life = timedelta(minutes=rule.timeout_minutes) if rule else LIFE
    return min(at + life, latest) if latest else at + life


def _explain(
    approval_id: UUID, payload_digest: bytes, policy_version: int | None, manifest_digest: str
) -> Never:
    """Say which clause an approval failed; what can't be mended comes first."""
    rows = Approval.objects.annotate(now=Clock()).filter(id=approval_id)
    found = rows.first()
    if found is None:
        raise NotFound("There is no such approval.")
    status = str(found.status)
    if status == ApprovalStatus.CONSUMED:
        raise ApprovalUsed("It was good for one time. Ask again.")
    if status == ApprovalStatus.EXPIRED or found.expires_at <= found.now:
        raise ApprovalExpired("Nobody used it in time. Ask again.")
    if status != ApprovalStatus.APPROVED:
        raise NotApproved(f"It is {found.get_status_display().lower()}.")
    if bytes(found.payload_digest) != payload_digest:
        raise PayloadChanged("Something else was approved than what would happen. Ask again.")
    if found.policy_version != policy_version:
        raise PolicyChanged("It was approved under other policies. Ask again.")
    if found.manifest_digest != manifest_digest:
        raise ManifestChanged("The agent was another when it was approved. Ask again.")
    raise NotApproved("It was decided this very moment. Try again.")
