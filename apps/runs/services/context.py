"""What a runtime may do while it works: the fenced, recorded way to everything beyond computing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Event
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.agents.directory import list_granted_tools
from apps.agents.runtimes.base import GrantedTool, Level, Stopped, WorkFailed
from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id, uuid7
from apps.common.json import Object
from apps.runs import spine
from apps.runs.models import Step
from apps.runs.spine import Hold, Notes, Parentage
from apps.runs.states import StepStatus
from apps.trust.canonical import dumps

SURE_FOR: Final = 0.5
"""Seconds for which a run that was found to be ours is taken to be ours still."""
NAME_MAX: Final = 200
MESSAGE_MAX: Final = 2000
NOTES_MAX: Final = 200

Delegate = Callable[..., Object]


class OutOfTime(Stopped):
    """The run's deadline has passed."""


class Context:
    """The `CallContext` of one execution.

    `delegate` carries out a call to another agent (the invocation itself, which this module can't
    import). What needs no answer from the database is noted and goes along with the next call.
    """

    def __init__(
        self,
        *,
        hold: Hold,
        agent: Actor,
        agent_id: UUID,
        deadline_at: datetime,
        delegate: Delegate,
        lost: Event,
    ) -> None:
        self.hold = hold
        self.agent = agent
        self.children: list[UUID] = []
        self.lost = lost
        self._agent_id = agent_id
        self._deadline = time.monotonic() + (deadline_at - timezone.now()).total_seconds()
        self._delegate = delegate
        self._notes = Notes()
        self._ordinal = 0
        self._sure_until = time.monotonic() + SURE_FOR

    def tools(self) -> Sequence[GrantedTool]:
        return list_granted_tools(caller_id=self._agent_id, at=timezone.now())

    def remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def log(self, level: Level, message: str, **fields: Any) -> None:
        line = {
            "id": uuid7().hex,
            "at": timezone.now().isoformat(),
            "level": level,
            "message": message[:MESSAGE_MAX],
            "fields": fields,
        }
        self._notes.logs.append(line)
        self._keep_notes_few()

    @contextmanager
    def step(self, name: str, input: Object | None = None) -> Iterator[None]:
        if self.lost.is_set() or time.monotonic() > self._sure_until:
            self.make_sure()
        note = {
            "id": uuid7().hex,
            "ordinal": self._next(),
            "name": name[:NAME_MAX],
            "input": input,
            "status": StepStatus.SUCCEEDED.value,
            "error": None,
            "started_at": timezone.now().isoformat(),
        }
        try:
            yield
        except WorkFailed as error:
            note |= {"status": StepStatus.FAILED.value, "error": error_of(error)}
            raise
        finally:
            self._notes.steps.append(note | {"finished_at": timezone.now().isoformat()})
            self._keep_notes_few()

    def call_tool(
        self,
        *,
        name: str,
        input: Object,
        call: Callable[[str], Object],
        timeout: float | None = None,
    ) -> Object:
        ordinal, step_id = self._next(), uuid7()
        begun = spine.begin_step(
            self.hold,
            step_id=step_id,
            ordinal=ordinal,
            kind=Step.Kind.TOOL_CALL,
            name=name[:NAME_MAX],
            input=input,
            notes=self._notes,
            at=timezone.now(),
        )
        self._after(ours=begun)
        status, output, error = StepStatus.FAILED, None, None
        release_connection()
        try:
            output = call(f"{self.hold.run_id.hex}.{call_key(ordinal, name, input)}")
            status = StepStatus.SUCCEEDED
        except WorkFailed as failure:
            error = error_of(failure)
            raise
        finally:
            ours = spine.end_step(
                self.hold,
                step_id=step_id,
                status=status,
                output=output,
                error=error,
                at=timezone.now(),
            )
        self._after(ours=ours)
        return output

    def call_agent(self, *, agent: str, tool: str, input: Object) -> Object:
        ordinal, name = self._next(), f"{agent}.{tool}"
        parentage = Parentage(self.hold, uuid7(), name[:NAME_MAX], ordinal, self._notes)
        return self._delegate(
            context=self,
            parent=parentage,
            key=call_key(ordinal, name, input),
            agent=agent,
            tool=tool,
            input=input,
        )

    def take_notes(self) -> Notes:
        """What was noted and not yet sent; whoever takes it sends it."""
        notes, self._notes = self._notes, Notes()
        return notes

    def called(self, child_id: UUID) -> None:
        """A call was admitted or answered as a step of this run, and the notes went along."""
        self.children.append(child_id)
        self._after(ours=True)

    def make_sure(self) -> None:
        """Ask the database whether the run is still ours; raises Stopped if not.

        No connection is held afterwards: who asks may be about to wait.
        """
        ours = not self.lost.is_set() and spine.check_run(self.hold, notes=self._notes)
        release_connection()
        self._after(ours=ours)

    def stopped(self) -> Stopped:
        """Why the run isn't ours any more: out of time, or taken away."""
        return OutOfTime() if self.remaining() == 0 else Stopped()

    def _after(self, *, ours: bool) -> None:
        """Act on what the database has just said of the run."""
        if not ours:
            raise self.stopped()
        self._notes = Notes()
        self._sure_until = time.monotonic() + SURE_FOR

    def _keep_notes_few(self) -> None:
        if len(self._notes.logs) + len(self._notes.steps) >= NOTES_MAX:
            self.make_sure()

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal


def agent_actor(agent_id: UUID, slug: str) -> Actor:
    """An agent as the caller of another one."""
    return Actor(ActorType.AGENT, public_id("agt", agent_id), slug)


def call_key(ordinal: int, name: str, input: Object) -> str:
    """Name a call so that another attempt's same call has the same name, and no other has."""
    return f"{ordinal}.{hashlib.sha256(dumps([name, input])).hexdigest()[:32]}"


def error_of(failure: WorkFailed) -> Object:
    return {"code": failure.code, "message": failure.message}


def release_connection() -> None:
    """Give the pooled connection back before a wait that may be long.

    Without a pool there is nobody else to have it: a worker's process keeps its own.
    """
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()
