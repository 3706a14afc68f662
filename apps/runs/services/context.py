"""What a runtime may do while it works: the fenced, recorded way to everything beyond computing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Any, Final, Protocol
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.agents.directory import list_granted_tools
from apps.agents.runtimes import spans
from apps.agents.runtimes.base import (
    Effect,
    GrantedTool,
    Level,
    OpenSpan,
    Session,
    Stopped,
    Turn,
    WorkFailed,
)
from apps.common.actors import Actor, ActorType
from apps.common.clock import Clock
from apps.common.ids import public_id, uuid7
from apps.common.json import Object, as_kept, find_flaw, kept_text
from apps.common.turns import step_aside
from apps.policies.bundles import obligations_of_json
from apps.runs import spine
from apps.runs.models import Step
from apps.runs.services import effects, sealing
from apps.runs.services.asking import Charge
from apps.runs.services.duties import FREE, Duties
from apps.runs.services.effects import ToolCall
from apps.runs.spending import Spending
from apps.runs.spine import Done, Hold, Notes, Parentage, Standing
from apps.runs.states import StepStatus
from apps.trust.canonical import dumps

SURE_FOR: Final = 0.5
"""Seconds for which a run that was found to be ours is taken to be ours still."""
NAME_MAX: Final = 200
MESSAGE_MAX: Final = 2000
NOTES_MAX: Final = 200
HISTORY_MAX: Final = 200_000
"""Characters of JSON that the earlier turns of a conversation may have in all."""
DELTA_EVERY: Final = 0.05
"""Seconds within which the parts of an answer under way are one event."""
DELTA_MAX: Final = 4096


class OutOfTime(Stopped):
    """The run's deadline has passed."""

    code = "timed_out"


class Delegate(Protocol):
    """Carries out a call to another agent: the invocation, which this module can't import."""

    def __call__(
        self, *, context: Context, parent: Parentage, agent: str, tool: str, input: Object
    ) -> Object: ...


class Context:
    """The `CallContext` of one execution.

    What needs no answer from the database is noted and goes along with the next call; where the
    run `is_told` somebody may be following it, and it goes at once. `now` is the time that the
    record gets; what limits the run is real time always.
    """

    def __init__(
        self,
        *,
        hold: Hold,
        agent: Actor,
        agent_id: UUID,
        manifest: str,
        charge: Charge,
        deadline_at: datetime,
        delegate: Delegate,
        lost: Event,
        duties: Duties = FREE,
        is_told: bool = False,
        session: Session | None = None,
        clock: Clock = timezone.now,
    ) -> None:
        self.hold = hold
        self.agent = agent
        self.children: list[UUID] = []
        self.lost = lost
        self.agent_id = agent_id
        self.manifest = manifest
        self.charge = charge
        self.duties = duties
        self.session = session
        self.now = clock
        self._deadline = time.monotonic() + (deadline_at - timezone.now()).total_seconds()
        self._delegate = delegate
        self._notes = Notes()
        self._ordinal = 0
        self._sure_until = time.monotonic() + SURE_FOR
        self._is_told = is_told
        self._delta_at = 0.0
        self._done: dict[tuple[int, str], Done] | None = None if hold.lease_no > 1 else {}
        self.spending = Spending()

    def tools(self) -> Sequence[GrantedTool]:
        return list_granted_tools(caller_id=self.agent_id, at=timezone.now())

    def history(self, turns: int) -> Sequence[Turn]:
        if self.session is None:
            return ()
        return spine.list_turns_before(self.hold.run_id, turns=turns, size=HISTORY_MAX)

    def remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    @property
    def spent_micros(self) -> Decimal:
        return self.spending.cost

    def spend(self, *, input_tokens: int, output_tokens: int, cost_micros: Decimal) -> None:
        self.spending.add(input_tokens=input_tokens, output_tokens=output_tokens, cost=cost_micros)
        self.duties.pay(cost_micros)

    def log(self, level: Level, message: str, **fields: Any) -> None:
        mask = self.duties.mask
        line = {
            "id": uuid7().hex,
            "at": self.now().isoformat(),
            "level": level,
            "message": mask.text(kept_text(message))[:MESSAGE_MAX],
            "fields": mask.scrub(as_kept(fields)),
        }
        self._notes.logs.append(line)
        self._noted()

    @property
    def is_followed(self) -> bool:
        return self._is_told and not self.duties.mask

    def delta(self, text: str) -> None:
        if not self.is_followed:
            return
        self._notes.delta += kept_text(text)
        if len(self._notes.delta) >= DELTA_MAX or time.monotonic() >= self._delta_at:
            self._delta_at = time.monotonic() + DELTA_EVERY
            self.make_sure()

    @contextmanager
    def step(self, name: str, input: Object | None = None) -> Iterator[None]:
        if self.lost.is_set() or time.monotonic() > self._sure_until:
            self.make_sure()
        ordinal, begun_at, error = self._next(), self.now(), None
        try:
            yield
        except BaseException as failure:
            error = self._error_of(failure)
            raise
        finally:
            kept = self.duties.mask.scrub(as_kept(input))
            self._note(Step.Kind.WORK, ordinal, name, begun_at, error, input=kept)

    def call_tool(
        self,
        *,
        name: str,
        input: Object,
        call: Callable[[str], Object],
        span: OpenSpan | None = None,
        effect: Effect | None = None,
        is_whole: bool = True,
        redacted: Callable[[Object], Object] | None = None,
    ) -> Object:
        must_keep(input, root="input")
        self.duties.check_purse()
        ordinal = self._next()
        key = call_key(ordinal, kept_text(name), input)
        asked = ToolCall(
            step_id=uuid7(),
            ordinal=ordinal,
            name=shown_name(name),
            input=input,
            effect=effect,
            mask=self.duties.mask,
            redacted=redacted,
        )
        if (done := self._done_before(ordinal, key)) is not None:
            return self._again(asked, done)
        asked = self._begin(asked)
        release_connection()
        error, output = None, None
        try:
            with span(asked.step_id) if span else spans.execute_tool(name, asked.step_id):
                output = call(f"{self.hold.run_id.hex}.{key}")
                must_keep(output, root="output")
        except BaseException as failure:
            output, error = None, self._error_of(failure)
            raise
        finally:
            standing = effects.end(self, asked, output, error, key=key if is_whole else "")
        self._after(standing)
        return output

    def _begin(self, call: ToolCall) -> ToolCall:
        """Put a tool call on record before it is made, if it may be; raises WorkFailed, Stopped."""
        begun = effects.begin(self, call, self._notes, at=self.now())
        self._told(begun.standing)
        if begun.failure is not None:
            raise begun.failure
        return replace(call, mask=begun.mask)

    def _done_before(self, ordinal: int, key: str) -> Done | None:
        """What an earlier attempt was given by the same call."""
        if self._done is None:
            self._done = spine.list_done(self.hold)
        return self._done.get((ordinal, key))

    def _again(self, call: ToolCall, done: Done) -> Object:
        """Note a call that an earlier attempt has made already, and what it was given.

        It hides what it hid then, or what a person agrees to in this attempt would look otherwise.
        """
        output = sealing.open_output(done.sealed_id) if done.sealed_id else done.output
        mask = call.mask.within(obligations_of_json(done.obligations).mask, call.input)
        self.duties = self.duties.hiding(mask.having(output))
        kept, at = replace(call, mask=mask).kept, self.now()
        self._note(Step.Kind.TOOL_CALL, call.ordinal, call.name, at, None, input=kept)
        return output

    def call_agent(self, *, agent: str, tool: str, input: Object) -> Object:
        agent, tool = kept_text(agent), kept_text(tool)
        name = shown_name(f"{agent}.{tool}")
        parent = Parentage(self.hold, uuid7(), name, self._next(), self._notes)
        with spans.execute_tool(name, parent.step_id, kind="function"):
            return self._delegate(context=self, parent=parent, agent=agent, tool=tool, input=input)

    def take_notes(self) -> Notes:
        """What was noted and not yet sent; whoever takes it sends it."""
        notes, self._notes = self._notes, Notes()
        return notes

    def called(self, child_id: UUID) -> None:
        """A call was admitted or answered as a step of this run, and the notes went along."""
        self.children.append(child_id)
        self._told("ours")

    def not_called(self, parent: Parentage, failure: WorkFailed) -> None:
        """A call was refused before there was a run: a step says so."""
        at, error = self.now(), self._error_of(failure)
        kind, step_id = Step.Kind.AGENT_CALL, parent.step_id
        self._note(kind, parent.ordinal, parent.step_name, at, error, step_id=step_id)

    def make_sure(self) -> None:
        """Ask the database whether the run is still ours; raises Stopped if not.

        No connection is held afterwards: who asks may be about to wait.
        """
        if self.lost.is_set():
            raise Stopped
        standing = spine.check_run(self.hold, notes=self._notes)
        release_connection()
        self._told(standing)

    def _told(self, standing: Standing) -> None:
        """Act on what the database has said to a call with which the notes went along."""
        self._after(standing)
        self._notes = Notes()

    def _after(self, standing: Standing) -> None:
        """Act on what the database has just said of the run."""
        if standing == "late":
            raise OutOfTime
        if standing == "lost":
            raise Stopped
        self._sure_until = time.monotonic() + SURE_FOR

    def _note(
        self,
        kind: str,
        ordinal: int,
        name: str,
        begun_at: datetime,
        error: Object | None,
        input: Object | None = None,
        step_id: UUID | None = None,
    ) -> None:
        """Note a step that is over."""
        note = {
            "id": (step_id or uuid7()).hex,
            "ordinal": ordinal,
            "kind": kind,
            "name": self.duties.mask.text(shown_name(name)),
            "status": (StepStatus.FAILED if error else StepStatus.SUCCEEDED).value,
            "input": input,
            "error": error,
            "started_at": begun_at.isoformat(),
            "finished_at": self.now().isoformat(),
        }
        self._notes.steps.append(note)
        self._noted()

    def _noted(self) -> None:
        """Send what was noted if somebody may wait for it, or if it is a lot."""
        if self._is_told or len(self._notes.logs) + len(self._notes.steps) >= NOTES_MAX:
            self.make_sure()

    def _error_of(self, failure: BaseException) -> Object:
        error: Object = self.duties.mask.scrub(error_of(failure))
        return error

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal


def agent_actor(agent_id: UUID, slug: str) -> Actor:
    """An agent as the caller of another one."""
    return Actor(ActorType.AGENT, public_id("agt", agent_id), slug)


def call_key(ordinal: int, name: str, input: Object) -> str:
    """Name a call so that another attempt's same call has the same name, and no other has."""
    return f"{ordinal}.{hashlib.sha256(dumps([name, input])).hexdigest()[:32]}"


def shown_name(name: str) -> str:
    return kept_text(name)[:NAME_MAX]


def must_keep(value: object, *, root: str) -> None:
    """Raise WorkFailed `input_invalid` or `output_invalid` for what JSON can't hold."""
    if flaw := find_flaw(value, root=root):
        raise WorkFailed(f"{root}_invalid", f"{flaw['field']}: {flaw['message']}")


def error_of(failure: BaseException) -> Object:
    """What went wrong, as runs and steps keep it; a runtime that breaks tells nothing of itself."""
    match failure:
        case WorkFailed():
            return {"code": failure.code, "message": kept_text(failure.message)}
        case OutOfTime():
            return {"code": "timed_out", "message": "The run's time was up."}
        case Stopped():
            return {"code": "stopped", "message": "The run was stopped."}
        case _:
            return {"code": "internal_error", "message": "The agent failed unexpectedly."}


def release_connection() -> None:
    """Give the pooled connection back, and the turn, before a wait that may be long.

    Without a pool there is nobody else to have it: a worker's process keeps its own.
    """
    step_aside()
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()
