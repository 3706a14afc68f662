"""Who is told what of a request: those who may decide it, those who asked, and on broken glass all
who ever decide. In the transaction of what is told, before it is put on record.

What is to happen stands on the request's page only, and its title repeats it: a notice goes to mail
and to channels, which others may read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from apps.approvals.models import Approval
from apps.approvals.registry import get_subject
from apps.approvals.selectors import APPROVAL, DECIDE, list_voter_ids, plain_title
from apps.common.actors import Actor
from apps.common.formats import moment_utc
from apps.common.ids import public_id
from apps.notify.kinds import Kind
from apps.notify.services.telling import Audience, tell
from apps.orgs.principals import Principal
from apps.orgs.selectors import MEMBER

MADE: Final = Kind(
    "approvals.request.made", "An approval waits", "When something waits for you to decide it."
)
DECIDED: Final = Kind(
    "approvals.request.decided",
    "A request was decided",
    "When what you or your agents asked for was approved or rejected.",
)
EXPIRED: Final = Kind(
    "approvals.request.expired",
    "A request expired",
    "When nobody decided in time what you asked for, or could have decided.",
)
CANCELLED: Final = Kind(
    "approvals.request.cancelled",
    "A request was taken back",
    "When what you asked for, or could have decided, can't happen any more as it was asked.",
)
GLASS: Final = Kind(
    "approvals.glass.broken",
    "Glass was broken",
    "When somebody approved something alone in an emergency. The bell always tells it.",
    always=True,
)
KINDS: Final = (MADE, DECIDED, EXPIRED, CANCELLED, GLASS)


def tell_made(approval: Approval, at: datetime) -> None:
    """Tell those who may decide it that it waits."""
    body = [f"{approval.requester_label} asks.", *approval.reasons]
    body.append(f"Without an answer by {moment_utc(approval.expires_at)} it is refused.")
    to = Audience(members=tuple(list_voter_ids(approval)), org=True)
    _tell(MADE, approval, f"Waits for approval: {plain_title(approval)}", "\n".join(body), to, at)


def tell_decided(approval: Approval, by: Principal, comment: str, at: datetime) -> None:
    """Tell who asked how somebody decided."""
    word = approval.get_status_display()
    body = f"By {by.member_label}. {comment}".strip()
    to = Audience(members=_asker(approval), without=by.member_id, org=True)
    _tell(DECIDED, approval, f"{word}: {plain_title(approval)}", body, to, at)


def tell_expired(approval: Approval, at: datetime) -> None:
    """Tell who asked, and who could have decided, that it is over."""
    body = "Nobody decided it in time."
    if _was_approved(approval):
        body = "It was approved and not used in time."
    _tell(EXPIRED, approval, f"Expired: {plain_title(approval)}", body, _both(approval), at)


def tell_cancelled(approval: Approval, at: datetime) -> None:
    """Tell who asked, and who could have decided, that it can't happen any more as it was asked."""
    body = "It has changed or ended since it was asked, so nobody has to decide it any more."
    if _was_approved(approval):
        body = "It was approved, but had changed or ended before that was used. Nothing happened."
    body += " Ask again for what is still wanted."
    _tell(CANCELLED, approval, f"Taken back: {plain_title(approval)}", body, _both(approval), at)


def tell_over(approval: Approval, by: Actor, at: datetime) -> None:
    """Tell who asked that its subject was over before the approval was used; not who ended it."""
    if approval.human_id is None or by.id == public_id(MEMBER, approval.human_id):
        return
    what = get_subject(approval.subject_type).label.lower()
    body = f"It was approved, but the {what} ended before that was used, so what was approved "
    body += f"did not happen. The {what}'s own page says how it ended."
    to = Audience(members=_asker(approval), org=True)
    _tell(CANCELLED, approval, f"Taken back: {plain_title(approval)}", body, to, at)


def tell_glass(approval: Approval, by: Principal, at: datetime) -> None:
    """Alert everybody who ever decides, and who asked."""
    body = f"{by.member_label} approved it alone, without the votes it needs. "
    body += f"The reason given: {approval.glass_reason}"
    to = Audience(permission=DECIDE, members=_asker(approval), without=by.member_id)
    _tell(GLASS, approval, f"Glass broken: {plain_title(approval)}", body, to, at)


def _asker(approval: Approval) -> tuple[UUID, ...]:
    return (approval.human_id,) if approval.human_id else ()


def _was_approved(approval: Approval) -> bool:
    return approval.approver_id is not None


def _both(approval: Approval) -> Audience:
    """Who asked, and while nobody had decided, who could have."""
    voters = () if _was_approved(approval) else tuple(list_voter_ids(approval))
    return Audience(members=(*_asker(approval), *voters), org=True)


def _tell(
    kind: Kind, approval: Approval, title: str, body: str, to: Audience, at: datetime
) -> None:
    ref = public_id(APPROVAL, approval.id)
    tell(
        kind=kind.code,
        title=title,
        body=body,
        path=f"/approvals/{ref}/",
        to=to,
        subject_type="approval",
        subject_id=ref,
        at=at,
    )
