"""The road of one invocation: find, admit, execute, settle, answer.

Whoever asks has been authenticated and may invoke agents (1). What was asked for is found and
checked, then admitted in one commit or refused on record (2). The runtime does the work, here or
in a worker (3), and its end is settled in one commit, fenced by the lease (4). What follows from
a run is read from its row afterwards (5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils import timezone

from apps.agents.directory import Listing, Tool, get_frozen, get_listing
from apps.agents.models import AuthRequirement
from apps.agents.runtimes.base import CallFailed, Stopped
from apps.common.actors import Actor
from apps.common.errors import DomainError, Invalid, NotFound
from apps.common.ids import uuid7
from apps.common.jobs import enqueue
from apps.common.json import Object
from apps.common.schemas import find_errors
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.orgs.selectors import get_project
from apps.runs import selectors, spine
from apps.runs.errors import REASONS, AgentBusyChanging, RunDenied
from apps.runs.models import Run
from apps.runs.selectors import RunView
from apps.runs.services.context import Context
from apps.runs.services.execution import Settled, Work, execute, output_of
from apps.runs.services.leases import keeper
from apps.runs.services.seats import Seat, seats
from apps.runs.spine import Admission, Claim, Ending, Order, Parentage
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid

LOOKS: Final = 4
"""How often an agent that changes between being read and being admitted is read again."""
TITLE_MAX: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a client asks for; no tool means the only one, no project the agent's."""

    agent: str
    tool: str | None = None
    input: Object
    project: str | None = None
    mode: str = Run.Mode.SYNC
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The run, and whether it was there before this request."""

    run: RunView
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    """An order, and what it orders."""

    listing: Listing
    tool: Tool
    project: str
    order: Order


def invoke(ask: Ask, *, caller: Actor, at: datetime) -> Answer:
    """Have an agent do something, once per caller and key.

    Raises NotFound, Invalid with fields `input.…`, RunDenied, IdempotencyInFlight while a sync run
    of the same key is under way, IdempotencyKeyReused, TooManyWait before anything is written.
    """
    with seats.seat() as seat:
        return _invoke(ask, seat, caller=caller, at=at)


def _invoke(ask: Ask, seat: Seat, *, caller: Actor, at: datetime) -> Answer:
    run_id = uuid7()
    call, admission = _admit(lambda: _root_call(ask, run_id, caller, seat), at=at)
    match admission.outcome:
        case "denied":
            raise RunDenied(reason=admission.reason, run_id=run_id)
        case "in_flight":
            raise IdempotencyInFlight("Its run is still at work. Repeat the request in a moment.")
        case "other_body":
            raise IdempotencyKeyReused("Use a new key for a new request.")
        case "replay":
            return Answer(selectors.get_run(admission.run_id), replayed=True)
    if ask.mode == Run.Mode.ASYNC:
        enqueue("runs.work")
        return Answer(_view(call, admission, None, at))
    settled = _carry_out(_work(call, admission))
    if settled is None or not settled.counts:
        return Answer(selectors.get_run(run_id))
    return Answer(_view(call, admission, settled, at))


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
    *, context: Context, parent: Parentage, key: str, agent: str, tool: str, input: Object
) -> Object:
    """The way from one agent to another: the same road, as a child run within the same thread."""
    run_id = uuid7()
    claim = f"run:{parent.hold.run_id.hex}", key
    try:
        call, admission = _admit(
            lambda: _child_call(run_id, agent, tool, input, context.agent, claim, parent),
            at=timezone.now(),
        )
    except DomainError as error:
        raise CallFailed(error.code, _told(error)) from error
    match admission.outcome:
        case "fenced":
            raise context.stopped()
        case "cycle" | "too_deep" as reason:
            raise CallFailed(reason, REASONS[reason])
    context.called(admission.run_id)
    match admission.outcome:
        case "denied":
            raise CallFailed(admission.reason, REASONS[admission.reason])
        case "replay":
            return output_of(selectors.get_ending(admission.run_id))
    return _child_output(_work(call, admission), context)


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


def _admit(make: Callable[[], _Call], *, at: datetime) -> tuple[_Call, Admission]:
    """Find and admit; an agent that was changed in between is looked at again."""
    for _ in range(LOOKS):
        call = make()
        admission = spine.admit(call.order, at=at)
        if admission.outcome == "no_agent":
            raise NotFound("There is no such agent.")
        if admission.outcome != "stale_manifest":
            return call, admission
    raise AgentBusyChanging("Repeat the request in a moment.")


def _root_call(ask: Ask, run_id: UUID, caller: Actor, seat: Seat) -> _Call:
    """Find what a client asks for; raises NotFound, Invalid and TooManyWait."""
    listing = get_listing(ask.agent)
    tool = listing.frozen.choose(ask.tool)
    check_input(tool, ask.input)
    if ask.mode == Run.Mode.SYNC and listing.frozen.waits:
        seat.take()
    project_id, project = listing.project_id, listing.project
    if ask.project is not None:
        found = get_project(ask.project)
        project_id, project = found.id, found.slug
    body = [listing.id.hex, tool.name, project_id.hex, ask.mode, ask.input]
    order = Order(
        run_id=run_id,
        agent_id=listing.id,
        manifest_id=listing.frozen.id,
        project_id=project_id,
        tool=tool.name,
        title=title_of(tool.name, ask.input),
        mode=ask.mode,
        input=ask.input,
        timeout_seconds=listing.frozen.timeout_seconds,
        caller=caller,
        claim=Claim(caller.principal, ask.key, fingerprint_of(body) if ask.key else None),
        refusal="auth_agent" if tool.auth == AuthRequirement.AGENT else None,
    )
    return _Call(listing, tool, project, order)


def _child_call(
    run_id: UUID,
    agent: str,
    tool_name: str,
    input: Object,
    caller: Actor,
    claim: tuple[str, str],
    parent: Parentage,
) -> _Call:
    """Find what an agent asks of another; its project is the parent's, by the database."""
    listing = get_listing(agent)
    tool = listing.frozen.choose(tool_name)
    check_input(tool, input)
    order = Order(
        run_id=run_id,
        agent_id=listing.id,
        manifest_id=listing.frozen.id,
        project_id=listing.project_id,
        tool=tool.name,
        title=title_of(tool.name, input),
        mode=Run.Mode.SYNC,
        input=input,
        timeout_seconds=listing.frozen.timeout_seconds,
        caller=caller,
        claim=Claim(*claim, fingerprint_of([listing.id.hex, tool.name, input])),
        refusal="auth_person" if tool.auth == AuthRequirement.PERSON else None,
        parent=parent,
    )
    return _Call(listing, tool, listing.project, order)


def check_input(tool: Tool, input: Object) -> None:
    """Raise Invalid for an input that the tool's schema doesn't allow, naming each field."""
    if errors := find_errors(tool.input, input, root="input"):
        raise Invalid("The input is not what the tool takes.", errors=errors)


def fingerprint_of(body: Sequence[object]) -> bytes:
    """What tells two requests with one key apart: SHA-256 of the canonical form (RFC 8785)."""
    try:
        return hashlib.sha256(dumps(body)).digest()
    except JsonInvalid as error:
        raise Invalid.of("input", f"This can't be held exactly: {error}.") from error


def title_of(tool: str, input: Object) -> str:
    """The first line of the first text in the input, or else the tool's name."""
    texts = (value.strip() for value in input.values() if isinstance(value, str))
    first = next((text for text in texts if text), tool)
    return first.splitlines()[0][:TITLE_MAX]


def _work(call: _Call, admission: Admission) -> Work:
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
        input=call.order.input,
    )


def _view(call: _Call, admission: Admission, settled: Settled | None, at: datetime) -> RunView:
    """The run as it stands in the database, without reading it back."""
    order, listing = call.order, call.listing
    ending = settled.ending if settled else Ending(admission.status)
    return RunView(
        id=order.run_id,
        title=order.title,
        agent_id=order.agent_id,
        agent=listing.slug,
        tool=order.tool,
        project=call.project,
        caller=order.caller,
        status=ending.status,
        reason=ending.reason,
        mode=order.mode,
        environment=Run.Environment.LIVE,
        input=order.input,
        output=ending.output,
        error=ending.error,
        cost_micros=ending.cost_micros,
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
