"""Admission: an invocation is checked, and let begin or refused in one commit.

What a call has to pass stands in `admit`, in order. What isn't there yet (budgets) has its place,
and says so truthfully: none counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from apps.agents.directory import get_listing, recall_listing
from apps.agents.models import AuthRequirement
from apps.common.errors import Invalid, NotFound
from apps.runs import spine
from apps.runs.errors import AgentBusyChanging
from apps.runs.models import Run
from apps.runs.services import sealing, waiting
from apps.runs.services.asking import Decision, Meter, ask, metered, question_of_run
from apps.runs.services.duties import Duties
from apps.runs.services.finding import Call, Lookup, Ungranted, title_of
from apps.runs.spine import Admission, Order

LOOKS: Final = 4
"""How often an agent that changes between being read and being admitted is read again."""
STALE: Final = ("stale_manifest", "stale_policy")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of a call: as what it was found, what was decided, and what it obliges to."""

    call: Call
    decision: Decision
    duties: Duties
    admission: Admission


def admit(find: Callable[[Lookup], Call], *, at: datetime) -> Admitted:
    """Find a call, ask everything that it has to pass, and put it on record, admitted or not.

    One commit. What was changed since it was read is looked at again: the agent, or the policies.
    """
    meter: Meter | None = None
    for look in range(LOOKS):
        call = _recalled(find) if look == 0 else find(get_listing)
        meter = meter or Meter.of(call.caller.subject.id, call.listing.id, call.tool.name)
        decision = decide(call, fresh=look > 0, at=at)
        admitted = _put_on_record(call, decision, meter, at)
        outcome = admitted.admission.outcome
        if outcome == "no_agent":
            raise NotFound("There is no such agent.")
        if outcome not in STALE:
            return admitted
    raise AgentBusyChanging("Repeat the request in a moment.")


def _recalled(find: Callable[[Lookup], Call]) -> Call:
    """The call by what is remembered of the agent; if that is in its way, by what the agent is."""
    with suppress(NotFound, Invalid, Ungranted):
        return find(recall_listing)
    return find(get_listing)


def decide(call: Call, *, fresh: bool, at: datetime) -> Decision:
    """What the rules say: first the tool's own, whether agents may call it and whether anybody
    else may; then the policies of the org. They are asked in any case, for what they hide is hidden
    of a refused call too.
    """
    question = question_of_run(
        call.caller,
        call.charge,
        agent_id=call.listing.id,
        frozen=call.listing.frozen,
        tool=call.tool,
        input=call.input,
        run_id=call.run_id,
        at=at,
    )
    said = ask(
        question,
        caller=call.caller.actor,
        price_micros=call.tool.price_micros or 0,
        above=call.above.mask,
        fresh=fresh,
    )
    barred = _barred(call)
    return replace(said, refusal=barred, record=None) if barred else said


def _barred(call: Call) -> str | None:
    """Why the tool isn't for such a caller; None if it is."""
    if call.tool.auth == AuthRequirement.AGENT and not call.caller.is_agent:
        return "auth_agent"
    if call.tool.auth == AuthRequirement.PERSON and call.caller.is_agent:
        return "auth_person"
    return None


def scopes_of(call: Call) -> Sequence[UUID]:
    """The budgets that a call counts against: none, for there are none yet."""
    return ()


def _put_on_record(call: Call, decision: Decision, meter: Meter, at: datetime) -> Admitted:
    """Let a call begin, wait for a person's word, or be refused; it is counted once, and one that
    a person has agreed to was counted when that was asked.
    """
    duties = Duties.of(decision.obligations, decision.mask, above=call.above)
    order, put = _order(call, decision), _admission
    if decision.needs_approval and call.parent is not None:
        passed, put = waiting.let_approved(call, decision, order, at=at), waiting.admit_child
        if passed is not None:
            return Admitted(call, decision, duties, passed)
    if decision.obligations.rates and not _is_begun(call):
        decision = metered(decision, meter)
        if decision.refusal is not None:
            order, put = _refused(order, decision), _admission
    return Admitted(call, decision, duties, put(call, decision, order, at=at))


def _refused(order: Order, decision: Decision) -> Order:
    """The order for a call that was let through but for its rate."""
    return replace(
        order,
        refusal=decision.refusal,
        decision=decision.record,
        awaits=False,
        is_sealed=False,
    )


def _is_begun(call: Call) -> bool:
    """Whether an earlier attempt of the run that calls has made this very call already."""
    is_again = call.parent is not None and call.parent.hold.lease_no > 1
    return is_again and spine.find_keyed(call.claim) is not None


def _admission(call: Call, decision: Decision, order: Order, *, at: datetime) -> Admission:
    if not decision.needs_approval and not order.is_sealed:
        return spine.admit(order, at=at)
    with transaction.atomic():
        admission = spine.admit(order, at=at)
        if admission.run_id == call.run_id and admission.outcome != "denied":
            if order.is_sealed:
                sealing.keep_input(call.run_id, call.input)
            if admission.outcome == "awaiting_approval":
                waiting.ask_for_run(call, decision, order, at=at)
    return admission


def _order(call: Call, decision: Decision) -> Order:
    kept = decision.mask.input(call.input)
    return Order(
        run_id=call.run_id,
        agent_id=call.listing.id,
        manifest_id=call.listing.frozen.id,
        project_id=call.charge.place.id,
        tool=call.tool.name,
        title=title_of(call.tool.name, kept),
        mode=call.mode,
        input=kept,
        timeout_seconds=call.listing.frozen.timeout_seconds,
        caller=call.caller.actor,
        claim=call.claim,
        price_micros=call.tool.price_micros,
        scopes=scopes_of(call),
        refusal=decision.refusal,
        is_recalled=call.listing.is_recalled,
        parent=call.parent,
        session_id=call.session.id if call.session else None,
        member_id=call.charge.behind.member_id,
        bundle=decision.bundle,
        tags=call.charge.tags if decision.rests_on_tags else None,
        decision=decision.record,
        awaits=decision.needs_approval,
        is_sealed=call.parent is None and decision.refusal is None and kept != call.input,
        is_flushed_by_its_end=call.mode == Run.Mode.SYNC and not call.listing.frozen.waits,
    )
