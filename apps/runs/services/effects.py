"""A tool call is about to leave: policies are asked, and what they say is put on record with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import transaction

from apps.agents.runtimes.base import Effect, Stopped, WorkFailed
from apps.common.json import Object
from apps.common.lru import WeighedCache
from apps.runs import spine
from apps.runs.errors import told_of
from apps.runs.masking import Mask
from apps.runs.models import KnownHost, Step
from apps.runs.services import sealing, waiting
from apps.runs.services.asking import (
    REFUSALS,
    UNASKED,
    Decision,
    Meter,
    ask,
    metered,
    question_of_effect,
    with_present_tags,
)
from apps.runs.services.waiting import Middle
from apps.runs.spine import Began, Notes, Standing, Waiting
from apps.runs.states import StepStatus
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
    """A tool call that is about to be made, with what its run and it have to hide."""

    step_id: UUID
    ordinal: int
    name: str
    input: Object
    effect: Effect | None
    mask: Mask
    redacted: Callable[[Object], Object] | None = None

    @property
    def kept(self) -> Object:
        """Its input as it goes on record."""
        return self.mask.input(self._told(self.input))

    def answered(self, output: Object) -> tuple[Object, Mask]:
        """Its output as it goes on record, and what is hidden from then on."""
        mask = self.mask.having(output)
        return mask.output(self._told(output)), mask

    @property
    def shown(self) -> str:
        return self.mask.text(self.name)

    def _told(self, said: Object) -> Object:
        return self.redacted(said) if self.redacted and self.mask else said


@dataclass(frozen=True, slots=True)
class Begun:
    """What the run is to us, what the call hides, and why it isn't made all the same."""

    standing: Standing
    mask: Mask
    failure: Exception | None = None


def begin(ctx: Context, call: ToolCall, notes: Notes, *, at: datetime) -> Begun:
    """Put a tool call on record before it is made, or why it isn't; the notes go along.

    What policies hide of it is hidden from then on wherever the run says it again.
    """
    if call.effect is None or _is_nothing_to_ask(call.effect):
        return Begun(_put(ctx, call, UNASKED, notes, at), call.mask)  # type: ignore[arg-type]
    meter = Meter.of(ctx.agent.id, ctx.agent_id, call.effect.tool)
    for look in range(LOOKS):
        if look:
            ctx.charge = with_present_tags(ctx.charge)
        decision = _decide(ctx, call, call.effect, fresh=look > 0, at=at)
        obliged = replace(call, mask=decision.mask)
        if decision.refusal != REFUSALS["unavailable"]:  # nobody said that the run hides all of it
            ctx.duties = ctx.duties.hiding(decision.mask)
        began, failure = _begin(ctx, obliged, decision, meter, notes, at)
        if began != "stale_policy":
            return Begun(began, decision.mask, failure)
    raise WorkFailed("policy_unavailable", told_of("policy_unavailable"))


def _is_nothing_to_ask(effect: Effect) -> bool:
    """What only reads, where the org was before; to read is to tell a host something, too."""
    return effect.annotations.read_only and is_known(effect.host)


def end(
    ctx: Context, call: ToolCall, output: Object | None, error: Object | None, *, key: str
) -> Standing:
    """Put what a tool call came to on record, masked; what is hidden of it is hidden from then on
    wherever the run says it again. By its `key` another attempt that makes the same call finds all
    of it; where something is hidden that is sealed.
    """
    kept = None
    if output is not None:
        kept, mask = call.answered(output)
        ctx.duties = ctx.duties.hiding(mask)
    host = call.effect.host if call.effect else None
    is_sealed = bool(key) and kept != output
    with transaction.atomic() if is_sealed else nullcontext():
        standing = spine.end_step(
            ctx.hold,
            step_id=call.step_id,
            status=StepStatus.FAILED if error else StepStatus.SUCCEEDED,
            output=kept,
            error=error,
            call_key=key,
            is_sealed=is_sealed,
            host=None if host is None or is_known(host) else host,
            spent=ctx.spending.untold(),
            at=ctx.now(),
        )
        if output is not None and is_sealed and standing != "lost":
            sealing.keep_output(call.step_id, output)
    ctx.spending.is_told = True
    return standing


def is_known(host: str) -> bool:
    """Whether a tool call of this org to this host has ended well before."""
    place = keys.current().org_id, host
    if _hosts.find(place):
        return True
    if found := KnownHost.objects.filter(host=host).exists():
        _hosts.put(place, True, 1)
    return found


def _decide(ctx: Context, call: ToolCall, effect: Effect, *, fresh: bool, at: datetime) -> Decision:
    question = question_of_effect(
        ctx.charge,
        effect,
        call.input,
        agent_id=ctx.agent_id,
        run_id=ctx.hold.run_id,
        host_is_new=not is_known(effect.host),
        at=at,
    )
    return ask(question, caller=ctx.agent, above=call.mask, fresh=fresh)


def _begin(
    ctx: Context, call: ToolCall, decision: Decision, meter: Meter, notes: Notes, at: datetime
) -> tuple[Began, Exception | None]:
    must_ask = decision.needs_approval and not _is_agreed(ctx, call, decision)
    middle = _middle(ctx, call)

    def let() -> Began:
        began = _put(ctx, call, decision, notes, at)
        if began == "ours":
            waiting.use(middle, decision, at=at)
        return began

    if must_ask and (passed := waiting.try_approved(ctx.charge, let)) is not None:
        return passed, None
    counted = metered(decision, meter)
    if counted.refusal is not None:
        failure = _failure_of(counted)
        return _put(ctx, call, counted, notes, at, failure), failure
    if not must_ask:
        return _put(ctx, call, decision, notes, at), None
    with transaction.atomic():
        said = _waiting(ctx, call, decision, notes)
        began = waiting.suspend(ctx.hold, middle, decision, said, at=at)
    if began != "often":
        return began, AwaitsApproval()
    refused = decision.against(waiting.TOO_OFTEN)
    failure = WorkFailed(waiting.TOO_OFTEN, told_of(waiting.TOO_OFTEN))
    return _put(ctx, call, refused, notes, at, failure), failure


def _failure_of(decision: Decision) -> WorkFailed:
    """A refusal as the agent is told it, with what the policies say themselves."""
    refusal = decision.refusal or ""
    return WorkFailed(refusal, told_of(refusal, decision.reasons))


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
        name=call.shown,
        input=call.kept,
        notes=notes,
        error={"code": failure.code, "message": failure.message} if failure else None,
        bundle=decision.bundle,
        tags=ctx.charge.tags if decision.rests_on_tags else None,
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
        name=call.shown,
        input=call.kept,
        bundle=decision.bundle,
        tags=ctx.charge.tags,
        decision=decision.record,
        spent=ctx.spending.untold(),
        notes=notes,
    )
