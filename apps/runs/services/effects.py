"""A tool call is about to leave: policies are asked, and what they say is put on record with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import transaction

from apps.agents.runtimes.base import Effect, Stopped, WorkFailed
from apps.common.json import Object
from apps.common.lru import WeighedCache
from apps.runs import spine
from apps.runs.errors import told_of
from apps.runs.models import KnownHost, Step
from apps.runs.services import waiting
from apps.runs.services.asking import UNASKED, Decision, Meter, ask, question_of_effect
from apps.runs.services.waiting import Middle
from apps.runs.spine import Began, Notes, Standing, Waiting
from apps.tenants import keys

if TYPE_CHECKING:
    from apps.runs.services.context import Context

LOOKS: Final = 4
HOSTS_KEPT: Final = 10_000
_hosts: Final = WeighedCache[tuple[UUID | None, str], bool](HOSTS_KEPT)
"""Hosts that are known, by org: what is known once stays known."""


class AwaitsApproval(Stopped):
    """The run goes on in another attempt, when a person has agreed to what it was about to do."""

    code = "awaiting_approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call that is about to be made; `kept` is its input as it goes on record."""

    step_id: UUID
    ordinal: int
    name: str
    input: Object
    kept: Object
    effect: Effect | None


@dataclass(frozen=True, slots=True)
class Begun:
    """What the run is to us, and why the call isn't made all the same."""

    standing: Standing
    failure: Exception | None = None


def begin(ctx: Context, call: ToolCall, notes: Notes, *, at: datetime) -> Begun:
    """Put a tool call on record before it is made, or why it isn't; the notes go along."""
    if call.effect is None or call.effect.annotations.read_only:
        return Begun(_put(ctx, call, UNASKED, notes, at))  # type: ignore[arg-type]
    meter = Meter.of(ctx.agent, ctx.agent_id, call.effect.tool)
    for look in range(LOOKS):
        decision = _decide(ctx, call, call.effect, meter, fresh=look > 0, at=at)
        began, failure = _begin(ctx, call, decision, notes, at)
        if began != "stale_policy":
            return Begun(began, failure)
    raise WorkFailed("policy_unavailable", told_of("policy_unavailable"))


def is_known(host: str) -> bool:
    """Whether a tool call of this org to this host has ended well before."""
    place = keys.current().org_id, host
    if _hosts.find(place):
        return True
    if found := KnownHost.objects.filter(host=host).exists():
        _hosts.put(place, True, 1)
    return found


def _decide(
    ctx: Context, call: ToolCall, effect: Effect, meter: Meter, *, fresh: bool, at: datetime
) -> Decision:
    question = question_of_effect(
        ctx.charge,
        effect,
        call.input,
        agent_id=ctx.agent_id,
        run_id=ctx.hold.run_id,
        host_is_new=not is_known(effect.host),
        at=at,
    )
    return ask(question, caller=ctx.agent, meter=meter, fresh=fresh)


def _begin(
    ctx: Context, call: ToolCall, decision: Decision, notes: Notes, at: datetime
) -> tuple[Began, Exception | None]:
    if decision.refusal is not None:
        failure = WorkFailed(decision.refusal, told_of(decision.refusal, decision.reasons))
        return _put(ctx, call, decision, notes, at, failure), failure
    if not decision.needs_approval or _is_agreed(ctx, call, decision):
        return _put(ctx, call, decision, notes, at), None
    middle = _middle(ctx, call)

    def let() -> Began:
        began = _put(ctx, call, decision, notes, at)
        if began == "ours":
            waiting.use(middle, decision, at=at)
        return began

    if (let_through := waiting.try_approved(ctx.charge, let)) is not None:
        return let_through, None
    with transaction.atomic():
        said = _waiting(ctx, call, decision, notes)
        return waiting.suspend(ctx.hold, middle, decision, said, at=at), AwaitsApproval()


def _is_agreed(ctx: Context, call: ToolCall, decision: Decision) -> bool:
    """Whether a person who let the run begin has agreed to the call, for all of these reasons."""
    is_all = call.effect is not None and call.effect.is_all
    return is_all and set(decision.reasons) <= set(ctx.charge.agreed)


def _put(
    ctx: Context,
    call: ToolCall,
    decision: Decision,
    notes: Notes,
    at: datetime,
    failure: WorkFailed | None = None,
) -> Began:
    return spine.begin_step(
        ctx.hold,
        step_id=call.step_id,
        ordinal=call.ordinal,
        kind=Step.Kind.TOOL_CALL,
        name=call.name,
        input=call.kept,
        notes=notes,
        error={"code": failure.code, "message": failure.message} if failure else None,
        bundle=decision.bundle,
        decision=decision.record,
        at=at,
    )


def _middle(ctx: Context, call: ToolCall) -> Middle:
    assert call.effect is not None  # noqa: S101 - nothing else is decided
    return Middle(
        action="tool.call",
        agent_id=ctx.agent_id,
        agent=ctx.agent.label,
        tool=call.effect.tool,
        input=call.input,
        kept=call.kept,
        ordinal=call.ordinal,
        charge=ctx.charge,
        by=ctx.agent,
        manifest=ctx.manifest,
        host=call.effect.host,
    )


def _waiting(ctx: Context, call: ToolCall, decision: Decision, notes: Notes) -> Waiting:
    return Waiting(
        step_id=call.step_id,
        ordinal=call.ordinal,
        kind=Step.Kind.TOOL_CALL,
        name=call.name,
        input=call.kept,
        bundle=decision.bundle,
        decision=decision.record,
        spent=ctx.spending.untold(),
        notes=notes,
    )
