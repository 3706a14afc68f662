"""Carrying a run out: the runtime does the work, and its end is settled."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from traceback import extract_tb
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import DataError, IntegrityError
from django.db import Error as DatabaseError
from django.utils import timezone
from opentelemetry.trace import Span

from apps.agents.directory import Frozen, Tool
from apps.agents.runtimes import spans
from apps.agents.runtimes.base import (
    CallFailed,
    Invocation,
    Session,
    Stopped,
    WorkFailed,
    runtime_of,
)
from apps.common import telemetry
from apps.common.clock import Clock
from apps.common.json import Object
from apps.common.schemas import find_errors
from apps.runs import spine
from apps.runs.masking import Mask
from apps.runs.services.asking import Charge
from apps.runs.services.context import (
    Context,
    Delegate,
    OutOfTime,
    agent_actor,
    error_of,
    must_keep,
    release_connection,
)
from apps.runs.services.duties import FREE, Duties
from apps.runs.spine import Ending, Hold, Notes, Standing
from apps.runs.states import RunStatus

log = structlog.get_logger(__name__)

OUTPUT_MAX: Final = 1024 * 1024
REMOTE: Final = "http"
"""The runtime whose agents work somewhere else."""
REFUSED: Final = (DataError, IntegrityError)
"""Postgres is well and has no place for a value."""


@dataclass(frozen=True, slots=True)
class Work:
    """An admitted run and everything that carrying it out takes."""

    hold: Hold
    deadline_at: datetime
    agent_id: UUID
    agent: str
    frozen: Frozen
    tool: Tool
    input: Object
    charge: Charge
    duties: Duties = FREE
    is_told: bool = False
    session: Session | None = None
    traceparent: str = ""
    clock: Clock = timezone.now


@dataclass(frozen=True, slots=True)
class Settled:
    """How an execution ended, and when; `counts` is False if the run was not its own any more."""

    ending: Ending
    counts: bool
    at: datetime
    children: tuple[UUID, ...]


def execute(work: Work, *, delegate: Delegate, lost: Event) -> Settled:
    """Do the work and settle it. Raises Stopped if the run was taken away meanwhile.

    A database that fails is no ending: the error goes on, and the run is carried out again when
    its lease has run out. One that refuses a value is: no other attempt would do better.
    """
    context = Context(
        hold=work.hold,
        agent=agent_actor(work.agent_id, work.agent),
        agent_id=work.agent_id,
        manifest=work.frozen.digest,
        charge=work.charge,
        duties=work.duties,
        deadline_at=work.deadline_at,
        delegate=delegate,
        lost=lost,
        is_told=work.is_told,
        session=work.session,
        clock=work.clock,
    )
    with _span_of(work) as span:
        settled = _settle(work, _work(work, context), context)
        if span is not None:
            _describe(span, settled)
    return settled


def _span_of(work: Work) -> spans.Opening:
    """What a trace shows of the run: below its caller's, or below the request's that a worker
    carries out.
    """
    if telemetry.tracer is None:
        return spans.OFF
    return spans.invoke_agent(
        _invocation(work),
        version=work.frozen.version,
        is_remote=work.frozen.runtime == REMOTE,
        parent=work.traceparent,
        conversation=work.session.id if work.session else None,
    )


def _describe(span: Span, settled: Settled) -> None:
    """Say in the trace what became of the run."""
    ending = settled.ending
    spans.ended(
        span,
        status=ending.status if settled.counts else "lost",
        code=(ending.error or {}).get("code") if settled.counts else Stopped.code,
        cost_micros=ending.cost_micros,
        usage=ending.usage,
    )


def _work(work: Work, context: Context) -> Ending:
    """Run the runtime; whatever it does, there is an ending.

    What computes for a moment only keeps the pooled connection from admission to settlement: to
    give it back takes both keys off it and sets them again, two round trips more than the work's.
    """
    runtime = runtime_of(work.frozen.runtime)
    if runtime.is_long(work.frozen.config):
        release_connection()
    try:
        output = runtime.run(_invocation(work), context)
        check_output(work.tool, output)
    except OutOfTime:
        return timed_out()
    except Stopped:
        raise
    except WorkFailed as failure:
        return timed_out() if context.remaining() == 0 else _failed(failure)
    except REFUSED as error:
        return _broken(context, error)
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - a runtime's fault is a run's failure, not the product's
        return _broken(context, error)
    return Ending(RunStatus.SUCCEEDED, output=output)


def _settle(work: Work, ending: Ending, context: Context) -> Settled:
    """Close the run as it ended; if Postgres has no place for that or finds it late, as that."""
    at = context.now()
    notes: Notes | None = context.take_notes()
    spending = context.spending
    took: Any = {"cost_micros": spending.cost_micros, "usage": spending.usage}

    def close(ending: Ending, notes: Notes | None) -> Standing:
        return spine.close_run(
            work.hold,
            ending,
            spent=spending.untold(),
            statement=statement_of(work, ending),
            notes=notes,
            at=at,
        )

    ending = _masked(context.duties.mask, replace(ending, **took))
    try:
        standing = close(ending, notes)
    except REFUSED as error:
        ending, notes = replace(_broken(context, error), **took), None
        standing = close(ending, notes)
    if standing == "late":
        ending = replace(timed_out(), **took)
        standing = close(ending, notes)
    return Settled(ending, standing == "ours", at, tuple(context.children))


def _masked(mask: Mask, ending: Ending) -> Ending:
    """The ending as everybody is told it, the caller too."""
    if not mask:
        return ending
    output = None if ending.output is None else mask.output(ending.output)
    return replace(ending, output=output, error=mask.scrub(ending.error))


def statement_of(work: Work, ending: Ending) -> Object | None:
    """The signed statement of what was done, on what, under which manifest. No key signs runs yet,
    so a run ends unsigned.
    """
    return None


def _invocation(work: Work) -> Invocation:
    return Invocation(
        run_id=work.hold.run_id,
        attempt=work.hold.lease_no,
        agent_id=work.agent_id,
        agent=work.agent,
        tool=work.tool.name,
        input=work.input,
        config=work.frozen.config,
        description=work.tool.description,
        output_schema=work.tool.output_schema,
        session=work.session,
        annotations=work.tool.annotations,
    )


def check_output(tool: Tool, output: Object) -> None:
    """Refuse what the capability didn't promise, or what JSON can't hold exactly."""
    must_keep(output, root="output")
    if len(json.dumps(output, ensure_ascii=False).encode()) > OUTPUT_MAX:
        raise WorkFailed("output_invalid", f"The output has more than {OUTPUT_MAX} bytes.")
    if errors := find_errors(tool.output, output, root="output"):
        told = "; ".join(f"{e['field']}: {e['message']}" for e in errors[:3])
        raise WorkFailed("output_invalid", f"The output is not what the tool promises: {told}")


def output_of(ending: Ending) -> Object:
    """What a calling agent gets; raises CallFailed for a run that didn't succeed."""
    if ending.status == RunStatus.SUCCEEDED and ending.output is not None:
        return ending.output
    error = ending.error or {"code": ending.reason or ending.status, "message": "It was stopped."}
    raise CallFailed(error["code"], error["message"])


def timed_out() -> Ending:
    return Ending(RunStatus.TIMED_OUT, reason="deadline", error=error_of(OutOfTime()))


def _failed(failure: BaseException) -> Ending:
    return Ending(RunStatus.FAILED, error=error_of(failure))


def _broken(context: Context, error: Exception) -> Ending:
    """An ending that tells nothing of the fault, which the log has; where something of the run is
    hidden, without the fault's words, which may be made of it.
    """
    run_id = str(context.hold.run_id)
    if context.duties.mask:
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in extract_tb(error.__traceback__)]
        log.error("run.runtime_failed", run=run_id, fault=type(error).__name__, frames=frames)
    else:
        log.error("run.runtime_failed", run=run_id, exc_info=error)
    return _failed(error)
