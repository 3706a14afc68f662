"""Carrying a run out: the runtime does the work, and its end is settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Final
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.utils import timezone

from apps.agents.directory import Frozen, Tool
from apps.agents.runtimes.base import CallFailed, Invocation, Stopped, WorkFailed, runtime_of
from apps.common.json import Object
from apps.common.schemas import find_errors
from apps.runs import spine
from apps.runs.services.context import Context, Delegate, OutOfTime, agent_actor, error_of
from apps.runs.spine import Ending, Hold
from apps.runs.states import RunStatus
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid

log = structlog.get_logger(__name__)

OUTPUT_MAX: Final = 1024 * 1024


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
    its lease has run out.
    """
    context = Context(
        hold=work.hold,
        agent=agent_actor(work.agent_id, work.agent),
        agent_id=work.agent_id,
        deadline_at=work.deadline_at,
        delegate=delegate,
        lost=lost,
    )
    ending = _work(work, context)
    at = timezone.now()
    counts = spine.close_run(work.hold, ending, notes=context.take_notes(), at=at)
    return Settled(ending, counts, at, tuple(context.children))


def _work(work: Work, context: Context) -> Ending:
    """Run the runtime; whatever it does, there is an ending."""
    invocation = Invocation(
        run_id=work.hold.run_id,
        attempt=work.hold.lease_no,
        agent_id=work.agent_id,
        agent=work.agent,
        tool=work.tool.name,
        input=work.input,
        config=work.frozen.config,
    )
    try:
        output = runtime_of(work.frozen.runtime).run(invocation, context)
        check_output(work.tool, output)
    except OutOfTime:
        return timed_out()
    except Stopped:
        raise
    except WorkFailed as failure:
        return timed_out() if context.remaining() == 0 else _failed(failure)
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001 - a runtime's fault is a run's failure, not the product's
        log.exception("run.runtime_failed", run=str(work.hold.run_id))
        return _failed(WorkFailed("internal_error", "The agent failed unexpectedly."))
    return Ending(RunStatus.SUCCEEDED, output=output)


def check_output(tool: Tool, output: Object) -> None:
    """Refuse what the capability didn't promise, or what JSON can't hold exactly."""
    try:
        size = len(dumps(output))
    except JsonInvalid as error:
        raise WorkFailed("output_invalid", "The output is not exact JSON.") from error
    if size > OUTPUT_MAX:
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
    error = {"code": "timed_out", "message": "The run's time was up."}
    return Ending(RunStatus.TIMED_OUT, reason="deadline", error=error)


def _failed(failure: WorkFailed) -> Ending:
    return Ending(RunStatus.FAILED, error=error_of(failure))
