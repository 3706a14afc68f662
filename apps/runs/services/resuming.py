"""A run goes on, or begins at last, by what stands in its row: by a person's word, or a worker.

What was agreed to is looked at again at that moment: whether who asked still may, whether policies
let it happen still, whether agent, manifest and policies are those that were agreed to, and whether
the row is, to the byte.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.agents.directory import get_frozen
from apps.approvals.errors import ApprovalRefused
from apps.approvals.services.requests import cancel_for, consume
from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.policies.decisions import get_decision
from apps.policies.engine.types import Obligations
from apps.policies.questions import Question
from apps.policies.selectors import get_obligations
from apps.runs import selectors, spine
from apps.runs.errors import DECISION
from apps.runs.masking import NOTHING_HIDDEN, Mask
from apps.runs.models import Run
from apps.runs.services.asking import (
    UNASKED,
    Caller,
    Charge,
    Decision,
    Place,
    ask,
    question_of_run,
)
from apps.runs.services.duties import FREE, Duties
from apps.runs.services.sealing import open_input
from apps.runs.services.waiting import SUBJECT, check_reasons, payload_of_run
from apps.runs.states import RunStatus
from apps.trust.canonical import digest

if TYPE_CHECKING:
    from apps.approvals.models import Approval

LOOKS: Final = 4
ENDS: Final = {
    "rejected": "approval_rejected",
    "expired": "approval_expired",
    "cancelled": "approval_cancelled",
}


def caller_of(row: Run) -> Caller:
    """Who asked for a run, with the role and the groups that the member behind has now."""
    read: Any = row
    actor = Actor(ActorType(row.caller_type), row.caller_id, row.caller_label)
    return Caller(actor, row.member_id, read.member_role, tuple(read.member_groups or ()))


def charge_of(row: Run) -> Charge:
    """The charge of a root run that `get_whole_run` read."""
    calling = (row.caller_label,) if row.caller_type == ActorType.AGENT else ()
    return Charge(
        root_id=row.root_id,
        behind=caller_of(row),
        place=_place(row.project),
        home=_place(row.agent.project),
        lineage=(*calling, row.agent.slug),
        approval_id=row.approval_id,
        agreed=_agreed(row),
    )


def _agreed(row: Run) -> tuple[str, ...]:
    """Why a person was asked whether the run may begin; nothing if nobody was."""
    if row.approval_id is None or row.decision_id is None:
        return ()
    decision = get_decision(public_id(DECISION, row.decision_id))
    return tuple(decision.reasons) if decision.result == "require_approval" else ()


def duties_of(row: Run, input: dict[str, Any]) -> Duties:
    """What a root run was obliged to when it was admitted."""
    obligations = get_obligations(row.decision_id) if row.decision_id else Obligations()
    is_again = row.lease_no > 1 and obligations.cap_cost_micros is not None
    spent = selectors.sum_cost(row.id) if is_again else 0
    mask = Mask.of(obligations.mask, input) if obligations.mask else NOTHING_HIDDEN
    return Duties.of(obligations, mask, above=FREE, spent_micros=spent)


def on_decided(approval: Approval) -> None:
    """Have the run that waits for this go on, or end it. Nothing happens the second time."""
    at = timezone.now()
    try:
        row = selectors.get_whole_run(approval.subject_id)
    except Run.DoesNotExist as error:
        raise NotFound("There is no such run.") from error
    if row.status != RunStatus.AWAITING_APPROVAL or row.approval_id != approval.id:
        return
    if str(approval.status) in ENDS:
        _deny(row, ENDS[str(approval.status)], UNASKED, at)
    elif bar := _bar_of(row, at):
        _deny(row, bar, UNASKED, at)
    elif row.lease_no:
        _go_on(row, at)
    else:
        _begin(row, at)


def _bar_of(row: Run, at: datetime) -> str | None:
    """Why who asked may not, or not for this project, any more; None if they may."""
    if row.member_id is not None and caller_of(row).role is None:
        return "caller_left"
    if row.member_id is not None and not selectors.may_invoke(row.member_id):
        return "caller_barred"
    if row.caller_type == ActorType.API_KEY and not selectors.is_key_good(row.caller_id, at=at):
        return "key_ended"
    archived_at = row.project.archived_at
    return "project_archived" if archived_at and archived_at > row.created_at else None


def _begin(row: Run, at: datetime) -> None:
    """Queue a run that has done nothing yet, if everything is as it was agreed to.

    Where policies can't be asked nothing is lost: the job comes again, as long as the approval is
    good.
    """
    for _ in range(LOOKS):
        decision = _ask_again(row, at)
        if decision.refusal == "policy_unavailable":
            raise RuntimeError("the policies can't be asked")
        if decision.refusal is not None:
            return _deny(row, decision.refusal, decision, at)
        try:
            said = _use(row, decision, at)
        except ApprovalRefused as error:
            return _deny(row, error.code, decision, at)
        if said != "stale_policy":
            return _followed(row, said, decision, at)
        row = selectors.get_whole_run(row.id)
    raise RuntimeError("the policies change all the time")  # the job comes again


def _ask_again(row: Run, at: datetime) -> Decision:
    """What policies say of the run now; its rate was counted when it was asked for."""
    question = _question(row, at)
    tool = get_frozen(row.manifest_id).tools[row.tool]
    price = tool.price_micros or 0
    return ask(question, caller=caller_of(row).actor, price_micros=price, fresh=True)


def _use(row: Run, decision: Decision, at: datetime) -> str:
    """Queue the run and use the approval up, in one transaction; raises ApprovalRefused."""
    approval_id = _approval_of(row)
    with transaction.atomic():
        said = spine.resume_run(
            row.id,
            approval_id=approval_id,
            bundle=decision.bundle,
            tags=charge_of(row).tags if decision.rests_on_tags else None,
            decision=decision.record,
            at=at,
        )
        if said == "queued":
            check_reasons(approval_id, decision)
            consume(
                approval_id=approval_id,
                payload_digest=digest(_payload(row)),
                policy_version=decision.bundle,
                manifest_digest=row.manifest.digest,
                at=at,
            )
    return said


def _go_on(row: Run, at: datetime) -> None:
    """Queue a run that had come to a call that it was asked about; the attempt that makes the call
    uses the approval up.
    """
    said = spine.resume_run(row.id, approval_id=_approval_of(row), at=at)
    _followed(row, said, UNASKED, at)


def _followed(row: Run, said: str, decision: Decision, at: datetime) -> None:
    if said == "queued":
        enqueue("runs.work")
    elif said != "gone":
        _deny(row, said, decision, at)


def _deny(row: Run, reason: str, decision: Decision, at: datetime) -> None:
    """Refuse the run; what was agreed to is of no use to anybody, and taken back."""
    approval_id = _approval_of(row)
    with transaction.atomic():
        if spine.deny_run(
            row.id, approval_id=approval_id, reason=reason, decision=decision.record, at=at
        ):
            cancel_for(subject_type=SUBJECT, subject_ids=[row.id], at=at)


def _approval_of(row: Run) -> UUID:
    assert row.approval_id is not None  # noqa: S101 - a run that waits waits for something
    return row.approval_id


def _payload(row: Run) -> dict[str, Any]:
    """What would happen, by what stands in the row now."""
    return payload_of_run(
        run_id=row.id,
        action=caller_of(row).action,
        agent=row.agent.slug,
        tool=row.tool,
        whole=open_input(row),
        kept=row.input,
        project=row.project.slug,
        caller=caller_of(row).actor,
        mode=row.mode,
        session_id=row.session_id,
    )


def _question(row: Run, at: datetime) -> Question:
    """What was asked when the run was admitted, as things stand now."""
    frozen = get_frozen(row.manifest_id)
    return question_of_run(
        caller_of(row),
        charge_of(row),
        agent_id=row.agent_id,
        frozen=frozen,
        tool=frozen.tools[row.tool],
        input=open_input(row),
        run_id=row.id,
        at=at,
    )


def _place(project: Any) -> Place:
    return Place(project.id, project.slug, tuple(project.tags))
