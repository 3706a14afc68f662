"""Runs that wait for a person's word: what exactly is asked, and how they go on or end.

What is agreed to is bound to the byte: the payload, the org's policies, the agent's manifest. Two
things are asked for: that a run begins, and that it makes one call in its middle. The first is used
up when the run is queued, the second when the call is made. Nothing waits in a thread or holds
anything: the row waits, and a worker carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from django.db import transaction

from apps.approvals.errors import ApprovalRefused, PolicyChanged
from apps.approvals.selectors import About, get_reasons
from apps.approvals.services.requests import cancel_for, consume, request_approval
from apps.common.actors import Actor
from apps.common.ids import public_id
from apps.common.json import Object
from apps.runs import spine
from apps.runs.errors import RUN
from apps.runs.models import Run
from apps.runs.services.asking import Charge, Decision
from apps.runs.services.sealing import fingerprint_of_hidden
from apps.runs.spine import Admission, Hold, Order, Outcome, Suspended, Waiting
from apps.trust.canonical import digest

if TYPE_CHECKING:
    from apps.runs.services.finding import Call

SUBJECT: Final = "run"
TOO_OFTEN: Final = "too_often"
OUTCOMES: Final[dict[Suspended, Outcome]] = {
    "late": "late",
    "lost": "fenced",
    "stale_policy": "stale_policy",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """A call that a run makes in its middle: of another agent's tool, or of something outside.

    `kept` is the input as it goes on record, `manifest` the digest of the manifest that counts.
    """

    action: str
    agent_id: UUID
    agent: str
    tool: str
    input: Object
    kept: Object
    ordinal: int
    charge: Charge
    by: Actor
    manifest: str
    host: str | None = None

    def payload(self) -> Object:
        """What a person agrees to; the same in every attempt that comes to the same call."""
        where = {"host": self.host} if self.host else {}
        return {
            "action": self.action,
            "run": public_id(RUN, self.charge.root_id),
            "agent": self.agent,
            "tool": self.tool,
            **where,
            **_bound(self.input, self.kept),
            "project": self.charge.place.slug,
            "caller": self.by.as_json(),
            "call": {"ordinal": self.ordinal, "lineage": list(self.charge.lineage)},
        }


def payload_of_run(
    *,
    run_id: UUID,
    action: str,
    agent: str,
    tool: str,
    whole: Object,
    kept: Object,
    project: str,
    caller: Actor,
    mode: str,
    session_id: str | None,
) -> Object:
    """What a person agrees to who lets a run begin."""
    return {
        "action": action,
        "run": public_id(RUN, run_id),
        "agent": agent,
        "tool": tool,
        **_bound(whole, kept),
        "project": project,
        "caller": caller.as_json(),
        "mode": mode,
        "session_id": session_id,
    }


def ask_for_run(call: Call, decision: Decision, order: Order, *, at: datetime) -> None:
    """Ask whether a run that was just admitted to wait may begin; in its transaction."""
    payload = payload_of_run(
        run_id=call.run_id,
        action=call.caller.action,
        agent=call.listing.slug,
        tool=call.tool.name,
        whole=call.input,
        kept=order.input,
        project=call.charge.place.slug,
        caller=call.caller.actor,
        mode=call.mode,
        session_id=order.session_id,
    )
    approval = request_approval(
        subject_type=SUBJECT,
        subject_id=call.run_id,
        title=f"{call.listing.slug}: {order.title}",
        payload=payload,
        policy_version=decision.bundle,
        manifest_digest=call.listing.frozen.digest,
        requester=call.caller.actor,
        human_id=call.charge.behind.member_id,
        reasons=decision.reasons,
        evidence=_evidence(decision),
        expires_at=None,
        at=at,
        about=About(call.listing.id, call.tool.name, call.charge.place.id),
    )
    spine.await_approval(call.run_id, approval.id)


def let_approved(call: Call, decision: Decision, order: Order, *, at: datetime) -> Admission | None:
    """Let an agent call another by a person's word; None if there is none for exactly this."""
    middle = _middle(call, order)

    def let() -> Admission:
        admission = spine.admit(replace(order, awaits=False), at=at)
        if admission.outcome == "admitted":
            use(middle, decision, at=at)
        return admission

    return try_approved(call.charge, let)


def admit_child(call: Call, decision: Decision, order: Order, *, at: datetime) -> Admission:
    """Have the whole run wait until a person agrees that an agent calls another; one that has
    begun by such a word, for the same reasons, goes on. Where people were asked too often in the
    run already, the call is refused on record.
    """
    parent, middle = call.parent, _middle(call, order)
    assert parent is not None  # noqa: S101 - whoever calls this has looked
    with transaction.atomic():
        admission = spine.admit(order, at=at)
        if admission.outcome != "must_wait":
            return admission
        said = Waiting(
            step_id=parent.step_id,
            ordinal=parent.ordinal,
            kind="agent_call",
            name=parent.step_name,
            input=None,
            bundle=decision.bundle,
            tags=call.charge.tags,
            decision=decision.record,
            spent=None,
            notes=parent.notes,
        )
        began = suspend(parent.hold, middle, decision, said, at=at)
        if began == "often":
            record = decision.against(TOO_OFTEN).record
            refused = replace(order, refusal=TOO_OFTEN, decision=record, awaits=False)
            return spine.admit(refused, at=at)
    return replace(admission, outcome=OUTCOMES.get(began, admission.outcome))


def _middle(call: Call, order: Order) -> Middle:
    """An agent's call of another, as a person is asked about it."""
    assert call.parent is not None  # noqa: S101 - what begins a run is no call in its middle
    return Middle(
        action="agent.call",
        agent_id=call.listing.id,
        agent=call.listing.slug,
        tool=call.tool.name,
        input=call.input,
        kept=order.input,
        ordinal=call.parent.ordinal,
        charge=call.charge,
        by=call.caller.actor,
        manifest=call.listing.frozen.digest,
    )


def try_approved(charge: Charge, act: Callable[[], T]) -> T | None:
    """What `act` gives, which uses the approval up that somebody has given, in one transaction;
    None if none was given, or not for exactly this.
    """
    if charge.approval_id is None:
        return None
    try:
        with transaction.atomic():
            return act()
    except ApprovalRefused:
        return None


def use(middle: Middle, decision: Decision, *, at: datetime) -> None:
    """Use up what was agreed to for a call; raises ApprovalRefused if it was for another, or for
    other reasons.
    """
    approval_id = middle.charge.approval_id
    assert approval_id is not None  # noqa: S101 - `try_approved` has looked
    check_reasons(approval_id, decision)
    consume(
        approval_id=approval_id,
        payload_digest=digest(middle.payload()),
        policy_version=decision.bundle,
        manifest_digest=middle.manifest,
        at=at,
    )


def check_reasons(approval_id: UUID, decision: Decision) -> None:
    """Raise PolicyChanged where there is a reason to ask that nobody was told of."""
    if decision.needs_approval and not set(decision.reasons) <= set(get_reasons(approval_id)):
        raise PolicyChanged("There are other reasons to ask now. Ask again.")


def suspend(
    hold: Hold, middle: Middle, decision: Decision, said: Waiting, *, at: datetime
) -> Suspended:
    """Have the run wait, from its root on, and ask whether it may make the call; in the caller's
    transaction. What was asked before and is not used up is void.
    """
    began = spine.suspend_run(hold, said, at=at)
    if began != "ours":
        return began
    root_id = middle.charge.root_id
    approval = request_approval(
        subject_type=SUBJECT,
        subject_id=root_id,
        title=f"{middle.by.label} calls {middle.tool} of {middle.host or middle.agent}",
        payload=middle.payload(),
        policy_version=decision.bundle,
        manifest_digest=middle.manifest,
        requester=middle.by,
        human_id=middle.charge.behind.member_id,
        reasons=decision.reasons,
        evidence=_evidence(decision),
        expires_at=None,
        at=at,
        about=About(middle.agent_id, middle.tool, middle.charge.place.id),
        instead=True,
    )
    spine.await_approval(root_id, approval.id)
    return began


def forget_questions(run_ids: Iterable[UUID], *, actor: Actor, at: datetime) -> None:
    """Take back what people were asked about these runs, which `actor` has ended; in the
    transaction that does, after everything else in it but the audit event.
    """
    asked = Run.objects.filter(id__in=run_ids, approval_id__isnull=False)
    ids = list(asked.values_list("id", flat=True))
    if ids:
        cancel_for(subject_type=SUBJECT, subject_ids=ids, at=at, actor=actor)


def _bound(whole: Object, kept: Object) -> Object:
    """An input as it may be read, and what binds the values in it that may not."""
    hidden = fingerprint_of_hidden(whole, kept)
    return {"input": kept, "hidden": hidden} if hidden else {"input": kept}


def _evidence(decision: Decision) -> Object:
    """What led to the question."""
    record = decision.record or {}
    kept = {name: record.get(name) for name in ("policies", "obligations") if record.get(name)}
    return {"decision": public_id("dec", decision.id) if decision.id else None, **kept}
