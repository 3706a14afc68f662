"""The road of one invocation: authenticate, admit, execute, settle, and what comes after.

Whoever asks has been authenticated and may invoke agents (1). What was asked for is found and has
to pass policy, approval and budgets, and is admitted in one commit or refused on record (2:
`admission`). The runtime does the work, here or in a worker (3), and its end is settled in one
commit, fenced by the lease (4: `execution`). What follows from a run is read from its row
afterwards (5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.agents.directory import get_frozen
from apps.agents.runtimes.base import CallFailed, Session, Stopped
from apps.common import telemetry
from apps.common.clock import Clock
from apps.common.errors import DomainError, Invalid, NotFound
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.common.json import Object
from apps.common.tracecontext import outgoing_headers
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.orgs.principals import Principal
from apps.runs import selectors, spine
from apps.runs.errors import REASONS, RUN, RunDenied, RunRateLimited, told_of
from apps.runs.models import Run
from apps.runs.selectors import RunView
from apps.runs.services.admission import Admitted, admit
from apps.runs.services.asking import Caller
from apps.runs.services.context import Context, OutOfTime
from apps.runs.services.effects import AwaitsApproval
from apps.runs.services.execution import Settled, Work, execute, output_of
from apps.runs.services.finding import (
    Ask,
    Call,
    Lookup,
    Ungranted,
    check_kept,
    find_call,
    find_child_call,
    find_keyed,
    fingerprint_of,
    title_of,
)
from apps.runs.services.leases import keeper
from apps.runs.services.resuming import charge_of, duties_of
from apps.runs.services.sealing import open_input
from apps.runs.services.seats import Seat, seats
from apps.runs.spine import Admission, Ending, Keyed, Parentage

__all__ = ["Answer", "Ask", "fingerprint_of", "invoke", "work_one"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The run, and whether it was there before this request."""

    run: RunView
    replayed: bool = False


def invoke(ask: Ask, *, caller: Principal, at: datetime, clock: Clock = timezone.now) -> Answer:
    """Have an agent do something, once per caller and key. Where a person has to agree first, the
    answer is a run that waits.

    `clock` tells what time the record of a sync run and of those below it gets.
    Raises NotFound, Invalid naming each field, RunDenied, RunRateLimited, IdempotencyInFlight while
    a sync run of the same key is under way, IdempotencyKeyReused, TooManyWait before anything is
    written.
    """
    check_kept(ask.input)
    with seats.seat() as seat:
        return _invoke(ask, seat, caller=Caller.of(caller), at=at, clock=clock)


def _invoke(ask: Ask, seat: Seat, *, caller: Caller, at: datetime, clock: Clock) -> Answer:
    try:
        admitted = _admit(ask, seat, caller=caller, at=at)
    except (NotFound, Invalid):
        known = find_keyed(ask, caller.actor)
        if known is None:
            raise
        return _known(known)
    admission = admitted.admission
    if admission.outcome != "admitted":
        return _answered(admitted)
    if ask.mode == Run.Mode.ASYNC:
        enqueue("runs.work")
        return Answer(_view(admitted, None, at))
    settled = _carry_out(_work(admitted, clock))
    if settled is None or not settled.counts:
        return Answer(selectors.get_run(admission.run_id))
    return Answer(_view(admitted, settled, at))


def _admit(ask: Ask, seat: Seat, *, caller: Caller, at: datetime) -> Admitted:
    """Put a call on record; where traces are exported, what waits for a worker with its place in
    the present one, in the same commit.
    """

    def find(lookup: Lookup) -> Call:
        return _seated(find_call(ask, caller, lookup=lookup), seat)

    if telemetry.tracer is None or ask.mode != Run.Mode.ASYNC:
        return admit(find, at=at)
    with transaction.atomic():
        admitted = admit(find, at=at)
        if admitted.admission.outcome == "admitted":
            run_id = admitted.admission.run_id
            spine.note_trace(run_id, outgoing_headers().get("traceparent", ""))
    return admitted


def _answered(admitted: Admitted) -> Answer:
    """What a request gets that began nothing: its key's run, one that waits, or the reason."""
    admission, decision = admitted.admission, admitted.decision
    if admission.outcome == "awaiting_approval":
        return Answer(selectors.get_run(admission.run_id))
    if admission.outcome not in ("denied", "no_budget"):
        return _known(admission)
    if admission.reason == "policy_rate" and decision.retry_after is not None:
        raise RunRateLimited(
            run_id=admission.run_id, decision_id=decision.id, retry_after=decision.retry_after
        )
    raise RunDenied(
        reason=admission.reason,
        run_id=admission.run_id,
        decision_id=decision.id,
        reasons=_own_reasons(admitted),
    )


def _own_reasons(admitted: Admitted) -> tuple[str, ...]:
    """What the policies say themselves, where it is they that refuse."""
    is_theirs = admitted.admission.reason in ("policy", "policy_unavailable")
    return admitted.decision.reasons if is_theirs else ()


def _known(known: Admission | Keyed) -> Answer:
    """What a request gets whose key stands for something already."""
    match known.outcome:
        case "in_flight":
            raise IdempotencyInFlight(
                "Its run is still at work. Repeat the request in a moment.",
                run=public_id(RUN, known.run_id),
            )
        case "other_body":
            raise IdempotencyKeyReused("Use a new key for a new request.")
        case _:
            return Answer(selectors.get_run(known.run_id), replayed=True)


def work_one(*, at: datetime) -> bool:
    """A worker's turn: carry out the org's oldest queued run; False if there is none."""
    hold = spine.claim_run(at=at)
    if hold is None:
        return False
    row = selectors.get_whole_run(hold.run_id)
    frozen = get_frozen(row.manifest_id)
    assert row.deadline_at is not None  # noqa: S101 - claiming sets it
    input = open_input(row)
    _carry_out(
        Work(
            hold=hold,
            deadline_at=row.deadline_at,
            agent_id=row.agent_id,
            agent=row.agent.slug,
            frozen=frozen,
            tool=frozen.tools[row.tool],
            input=input,
            charge=charge_of(row),
            duties=duties_of(row, input),
            is_told=row.told,
            session=Session(row.session_id, row.caller_id) if row.session_id else None,
            traceparent=row.traceparent,
        )
    )
    return True


def _carry_out(work: Work) -> Settled | None:
    """Execute a root run under its lease; None if it was taken away meanwhile."""
    with keeper.keeping(work.hold) as lease:
        try:
            return execute(work, delegate=_call_agent, lost=lease.lost)
        except Stopped:
            return None


def _call_agent(
    *, context: Context, parent: Parentage, agent: str, tool: str, input: Object
) -> Object:
    """The way from one agent to another: the same road, as a child run within the same thread."""
    try:
        admitted = admit(
            lambda by: find_child_call(
                parent=parent, context=context, agent=agent, tool=tool, input=input, lookup=by
            ),
            at=context.now(),
        )
    except (DomainError, Ungranted) as error:
        failure = _refused(error)
        context.not_called(parent, failure)
        raise failure from error
    _check_admitted(admitted, context)
    if admitted.admission.outcome == "replay":
        return output_of(selectors.get_ending(admitted.admission.run_id))
    return _child_output(_work(admitted, context.now), context)


def _check_admitted(admitted: Admitted, context: Context) -> None:
    """Raise for a child that wasn't admitted: Stopped if we are over or wait, else CallFailed."""
    admission = admitted.admission
    match admission.outcome:
        case "must_wait":
            raise AwaitsApproval
        case "fenced":
            raise Stopped
        case "late":
            raise OutOfTime
        case "cycle" | "too_deep" as reason:
            raise CallFailed(reason, REASONS[reason])
        case "other_body":
            raise CallFailed("key_reused", "Another call has this call's key.")
    context.called(admission.run_id)
    match admission.outcome:
        case "denied" | "no_budget":
            raise CallFailed(admission.reason, told_of(admission.reason, _own_reasons(admitted)))
        case "in_flight":
            raise CallFailed("in_flight", "The same call is still at work.")


def _refused(error: DomainError | Ungranted) -> CallFailed:
    """Why a call found no way, in words for the calling agent."""
    if isinstance(error, Ungranted):
        return CallFailed("no_grant", REASONS["no_grant"])
    return CallFailed(error.code, _told(error))


def _child_output(work: Work, context: Context) -> Object:
    """Carry a child out. Stopped alone it is a call that failed, stopped with us our end."""
    try:
        settled = execute(work, delegate=_call_agent, lost=context.lost)
    except Stopped:
        settled = None
    if settled is None or not settled.counts:
        context.make_sure()
        raise CallFailed("stopped", "The called agent was stopped.")
    return output_of(settled.ending)


def _seated(call: Call, seat: Seat) -> Call:
    """A call that may wait outside while its client does takes one of the threads kept for that."""
    if call.mode == Run.Mode.SYNC and call.listing.frozen.waits:
        seat.take()
    return call


def _work(admitted: Admitted, clock: Clock) -> Work:
    """The admitted run as work; one that is taken over keeps the manifest that it began under, and
    has spent what it had.
    """
    call, admission = admitted.call, admitted.admission
    frozen, duties = call.listing.frozen, admitted.duties
    agreed = admitted.decision.reasons if admitted.decision.needs_approval else ()
    if admission.lease_no > 1:
        frozen = get_frozen(selectors.get_manifest_id(admission.run_id))
        if admitted.decision.obligations.cap_cost_micros is not None:
            spent = selectors.sum_cost(admission.run_id)
            duties = duties.having_spent(spent)
    return Work(
        hold=admission.hold,
        deadline_at=admission.deadline_at,
        agent_id=call.listing.id,
        agent=call.listing.slug,
        frozen=frozen,
        tool=frozen.tools[call.tool.name],
        input=call.input,
        charge=replace(call.charge, agreed=agreed) if agreed else call.charge,
        duties=duties,
        session=call.session,
        clock=clock,
    )


def _view(admitted: Admitted, settled: Settled | None, at: datetime) -> RunView:
    """The run as it stands in the database, without reading it back."""
    call, admission = admitted.call, admitted.admission
    listing, kept = call.listing, admitted.duties.mask.input(call.input)
    ending = settled.ending if settled else Ending(admission.status)
    return RunView(
        id=admission.run_id,
        title=title_of(call.tool.name, kept),
        agent_id=listing.id,
        agent=listing.slug,
        tool=call.tool.name,
        project=call.charge.place.slug,
        caller=call.caller.actor,
        status=ending.status,
        reason=ending.reason,
        mode=call.mode,
        environment=Run.Environment.LIVE,
        session_id=call.session.id if call.session else None,
        input=kept,
        output=ending.output,
        error=ending.error,
        cost_micros=ending.cost_micros,
        usage=ending.usage,
        parent_id=None,
        root_id=admission.root_id,
        children=settled.children if settled else (),
        manifest_version=listing.frozen.version,
        manifest_digest=listing.frozen.digest,
        decision_id=admitted.decision.id,
        approval_id=None,
        attempt=admission.lease_no,
        created_at=at,
        started_at=at if settled else None,
        finished_at=settled.at if settled else None,
    )


def _told(error: DomainError) -> str:
    """A refusal in one sentence, with the fields that it names."""
    fields = [f"{e['field']}: {e['message']}" for e in error.extra.get("errors", [])[:3]]
    return "; ".join(fields) or error.detail or error.title
