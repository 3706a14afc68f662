"""The road of one invocation: authenticate, admit, execute, settle, and what comes after.

Whoever asks has been authenticated and may invoke agents (1). What was asked for is found and has
to pass policy, approval and budgets, and is admitted in one commit or refused on record (2:
`admission`). The runtime does the work, here or in a worker (3), and its end is settled in one
commit, fenced by the lease (4: `execution`). What follows from a run is read from its row
afterwards (5).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.agents.directory import get_frozen
from apps.agents.runtimes.base import CallFailed, Session, Stopped
from apps.common import telemetry
from apps.common.actors import Actor
from apps.common.clock import Clock
from apps.common.errors import DomainError, Invalid, NotFound
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.common.json import Object
from apps.common.tracecontext import outgoing_headers
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.runs import selectors, spine
from apps.runs.errors import REASONS, RUN, RunDenied
from apps.runs.models import Run
from apps.runs.selectors import RunView
from apps.runs.services.admission import (
    Ask,
    Call,
    Lookup,
    Ungranted,
    admit,
    check_kept,
    find_call,
    find_child_call,
    find_keyed,
    fingerprint_of,
    title_of,
)
from apps.runs.services.context import Context, OutOfTime
from apps.runs.services.execution import Settled, Work, execute, output_of
from apps.runs.services.leases import keeper
from apps.runs.services.seats import Seat, seats
from apps.runs.spine import Admission, Ending, Keyed, Parentage

__all__ = ["Answer", "Ask", "fingerprint_of", "invoke", "work_one"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The run, and whether it was there before this request."""

    run: RunView
    replayed: bool = False


def invoke(ask: Ask, *, caller: Actor, at: datetime, clock: Clock = timezone.now) -> Answer:
    """Have an agent do something, once per caller and key.

    `clock` tells what time the record of a sync run and of those below it gets.
    Raises NotFound, Invalid naming each field, RunDenied, IdempotencyInFlight while a sync run of
    the same key is under way, IdempotencyKeyReused, TooManyWait before anything is written.
    """
    check_kept(ask.input)
    with seats.seat() as seat:
        return _invoke(ask, seat, caller=caller, at=at, clock=clock)


def _invoke(ask: Ask, seat: Seat, *, caller: Actor, at: datetime, clock: Clock) -> Answer:
    try:
        call, admission = _admit(ask, seat, caller=caller, at=at)
    except (NotFound, Invalid):
        known = find_keyed(ask, caller)
        if known is None:
            raise
        return _answered(known)
    if admission.outcome != "admitted":
        return _answered(admission)
    if ask.mode == Run.Mode.ASYNC:
        enqueue("runs.work")
        return Answer(_view(call, admission, None, at))
    settled = _carry_out(_work(call, admission, clock))
    if settled is None or not settled.counts:
        return Answer(selectors.get_run(admission.run_id))
    return Answer(_view(call, admission, settled, at))


def _admit(ask: Ask, seat: Seat, *, caller: Actor, at: datetime) -> tuple[Call, Admission]:
    """Put a call on record; where traces are exported, what waits for a worker with its place in
    the present one, in the same commit.
    """

    def find(lookup: Lookup) -> Call:
        return _seated(find_call(ask, caller, lookup=lookup), seat)

    if telemetry.tracer is None or ask.mode != Run.Mode.ASYNC:
        return admit(find, at=at)
    with transaction.atomic():
        call, admission = admit(find, at=at)
        if admission.outcome == "admitted":
            spine.note_trace(admission.run_id, outgoing_headers().get("traceparent", ""))
    return call, admission


def _answered(known: Admission | Keyed) -> Answer:
    """What a request gets that began nothing: its key's run, or the reason."""
    match known.outcome:
        case "in_flight":
            raise IdempotencyInFlight(
                "Its run is still at work. Repeat the request in a moment.",
                run=public_id(RUN, known.run_id),
            )
        case "other_body":
            raise IdempotencyKeyReused("Use a new key for a new request.")
        case "replay":
            return Answer(selectors.get_run(known.run_id), replayed=True)
    assert isinstance(known, Admission)  # noqa: S101 - a key stands for no refusal
    raise RunDenied(reason=known.reason, run_id=known.run_id)


def work_one(*, at: datetime) -> bool:
    """A worker's turn: carry out the org's oldest queued run; False if there is none."""
    hold = spine.claim_run(at=at)
    if hold is None:
        return False
    row = Run.objects.select_related("agent").get(id=hold.run_id)
    frozen = get_frozen(row.manifest_id)
    assert row.deadline_at is not None  # noqa: S101 - claiming sets it
    _carry_out(
        Work(
            hold=hold,
            deadline_at=row.deadline_at,
            agent_id=row.agent_id,
            agent=row.agent.slug,
            frozen=frozen,
            tool=frozen.tools[row.tool],
            input=row.input,
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
        call, admission = admit(
            lambda by: find_child_call(
                parent=parent, context=context, agent=agent, tool=tool, input=input, lookup=by
            ),
            at=context.now(),
        )
    except (DomainError, Ungranted) as error:
        failure = _refused(error)
        context.not_called(parent, failure)
        raise failure from error
    _check_admitted(admission, context)
    if admission.outcome == "replay":
        return output_of(selectors.get_ending(admission.run_id))
    return _child_output(_work(call, admission, context.now), context)


def _check_admitted(admission: Admission, context: Context) -> None:
    """Raise for a child that wasn't admitted: Stopped if we are over, else CallFailed."""
    match admission.outcome:
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
            raise CallFailed(admission.reason, REASONS[admission.reason])
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


def _work(call: Call, admission: Admission, clock: Clock) -> Work:
    """The admitted run as work; one that is taken over keeps the manifest that it began under."""
    frozen = call.listing.frozen
    if admission.lease_no > 1:
        frozen = get_frozen(selectors.get_manifest_id(admission.run_id))
    return Work(
        hold=admission.hold,
        deadline_at=admission.deadline_at,
        agent_id=call.listing.id,
        agent=call.listing.slug,
        frozen=frozen,
        tool=frozen.tools[call.tool.name],
        input=call.input,
        session=call.session,
        clock=clock,
    )


def _view(call: Call, admission: Admission, settled: Settled | None, at: datetime) -> RunView:
    """The run as it stands in the database, without reading it back."""
    listing = call.listing
    ending = settled.ending if settled else Ending(admission.status)
    return RunView(
        id=admission.run_id,
        title=title_of(call.tool.name, call.input),
        agent_id=listing.id,
        agent=listing.slug,
        tool=call.tool.name,
        project=call.project,
        caller=call.caller,
        status=ending.status,
        reason=ending.reason,
        mode=call.mode,
        environment=Run.Environment.LIVE,
        session_id=call.session.id if call.session else None,
        input=call.input,
        output=ending.output,
        error=ending.error,
        cost_micros=ending.cost_micros,
        usage=ending.usage,
        parent_id=None,
        root_id=admission.root_id,
        children=settled.children if settled else (),
        manifest_version=listing.frozen.version,
        manifest_digest=listing.frozen.digest,
        attempt=admission.lease_no,
        created_at=at,
        started_at=at if settled else None,
        finished_at=settled.at if settled else None,
    )


def _told(error: DomainError) -> str:
    """A refusal in one sentence, with the fields that it names."""
    fields = [f"{e['field']}: {e['message']}" for e in error.extra.get("errors", [])[:3]]
    return "; ".join(fields) or error.detail or error.title
