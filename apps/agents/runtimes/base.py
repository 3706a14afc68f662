"""The one interface between an invocation and what does its work.

A runtime is a kind of agent: how its tools are found, and how one of them is carried out. It gets
a `CallContext` from whoever orchestrates the run and reaches everything else through it: other
agents, the outside, the record. So a runtime can't forget a grant, a fence or a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol
from uuid import UUID

from apps.common.errors import Invalid
from apps.common.json import Object

Level = Literal["debug", "info", "warning", "error"]
OpenSpan = Callable[[UUID], AbstractContextManager[object]]
"""Opens what a trace shows of a step, by the step's id."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a tool says of its effects; the vocabulary of MCP's tool annotations.

    A tool that says nothing is taken at its worst: it changes things and reaches the world.
    """

    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True

    def as_json(self) -> dict[str, bool]:
        """Written out, for it stands in what policies are asked of every call."""
        return {
            "read_only": self.read_only,
            "destructive": self.destructive,
            "idempotent": self.idempotent,
            "open_world": self.open_world,
        }


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as its runtime knows it: name, text, JSON Schemas (2020-12) and annotations."""

    name: str
    description: str
    input_schema: Object
    output_schema: Object
    annotations: Annotations = field(default_factory=Annotations)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a tool call may do outside, and where: what policies are asked about before it is made.

    One that only reads is nothing to ask about. One that `is_all` is everything that its run does,
    with the run's own input: whoever agreed to the run for the same reasons has agreed to it.
    """

    tool: str
    annotations: Annotations
    host: str
    is_all: bool = False


@dataclass(frozen=True, slots=True)
class GrantedTool:
    """A tool of another agent that the calling agent may use."""

    agent: str
    spec: ToolSpec


@dataclass(frozen=True, slots=True)
class Session:
    """The conversation that a run belongs to: its name, and the id of whose call began the run.

    The name is a client's own word. Two callers that use one have two conversations.
    """

    id: str
    caller: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What a tool was asked in a conversation, and what it answered."""

    input: Object
    output: Object


@dataclass(frozen=True, slots=True)
class Invocation:
    """One execution of one tool of one agent; `config` is the agent's as its manifest froze it.

    So are the tool's description, its annotations and the schema of what it promises.
    """

    run_id: UUID
    attempt: int
    agent_id: UUID
    agent: str
    tool: str
    input: Object
    config: Object
    description: str = ""
    output_schema: Object = field(default_factory=dict)
    session: Session | None = None
    annotations: Annotations = field(default_factory=Annotations)


class CallContext(Protocol):
    """What a runtime may do beyond computing; every method is fenced and on record.

    Each raises `Stopped` once the run was cancelled, killed, reaped or is out of time: let it
    pass, for nothing that is done afterwards counts.
    """

    def tools(self) -> Sequence[GrantedTool]:
        """The tools of other agents that this agent may call now."""

    def history(self, turns: int) -> Sequence[Turn]:
        """The newest turns of the run's conversation before it, the oldest first.

        Only what the same caller has asked of the same tool and was answered before this run was
        asked for, so that every attempt is given the same; nothing without a session.
        """

    def call_agent(self, *, agent: str, tool: str, input: Object) -> Object:
        """Have another agent do something, as a child run; raises CallFailed."""

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
        """Do one thing outside. `call` gets its idempotency key, the same in every attempt, and
        runs while no database connection is held. One that sends again asks `make_sure` before.

        One with an `effect` is made only if the org's policies allow it, by a person's word where
        they ask for one. What an earlier attempt was given is given again without a call, if it
        `is_whole`: if all that the caller needs of it is in what `call` returns. `redacted` makes
        of its input and of its output what goes on record where something of the run is hidden.

        In a trace it is the execution of a tool called `name`, unless `span` opens something else.
        """

    def make_sure(self) -> None:
        """Ask whether the run is still this execution's; no connection is held afterwards."""

    def step(self, name: str, input: Object | None = None) -> AbstractContextManager[None]:
        """Put a part of the agent's own work on record, with its time and outcome."""

    def log(self, level: Level, message: str, **fields: Any) -> None:
        """Add a line to the run's log."""

    @property
    def is_followed(self) -> bool:
        """Whether somebody may be following the run, so that a `delta` has a reader."""

    def delta(self, text: str) -> None:
        """Say the next part of an answer that is under way to whoever follows the run.

        Costs nothing where nobody can. It is no output: an attempt that begins again says it
        again, and what the run returns alone counts.
        """

    def remaining(self) -> float:
        """Seconds until the run is out of time."""

    def spend(self, *, input_tokens: int, output_tokens: int, cost_micros: Decimal) -> None:
        """Count what a request to a model took, within the `call_tool` that made it: its end puts
        it on record, even if the run was taken away meanwhile.
        """

    @property
    def spent_micros(self) -> Decimal:
        """What was spent until now, exactly, in micro-USD."""


class Runtime(Protocol):
    """A kind of agent; one that `signs` has a secret for each agent, to sign its calls with."""

    kind: str
    signs: bool
    offers: Sequence[Mapping[str, Any]]
    """What an agent offers whose owner declares nothing."""

    def check_config(self, config: Mapping[str, Any]) -> Object:
        """The config as it is kept; raises Invalid with fields named `config.…`.

        Asks nobody outside: it is called within a transaction.
        """

    def waits(self, config: Object) -> bool:
        """Whether it may wait for somebody outside this process, itself or by whom it calls."""

    def tools(self, config: Object) -> Sequence[ToolSpec] | None:
        """The tools that this runtime fixes; None where the agent's owner declares them."""

    def is_long(self, config: Object) -> bool:
        """Whether it may compute for longer than a moment, so that it must hold no connection.

        Beside computing, a runtime waits within `call_tool` only, which holds none anyway.
        """

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        """Carry one invocation out. Raises WorkFailed for what the caller should know."""


class Stopped(Exception):
    """The run is no longer this execution's: cancelled, killed, taken over, or out of time."""

    code = "stopped"


class WorkFailed(Exception):
    """The agent could not do it. `code` is stable; the message may be shown to the caller."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class CallFailed(WorkFailed):
    """Another agent could not or may not do what was asked of it."""


ANYTHING: Sequence[Mapping[str, Any]] = ({"name": "invoke"},)
"""One tool that takes and gives any object."""

_runtimes: dict[str, Runtime] = {}


def register(runtime: Runtime) -> Runtime:
    """Offer a kind of agent; called when its app is ready."""
    _runtimes[runtime.kind] = runtime
    return runtime


def kinds() -> list[str]:
    return sorted(_runtimes)


def runtime_of(kind: str) -> Runtime:
    """The runtime of that kind; raises Invalid for one that isn't there."""
    if kind not in _runtimes:
        raise Invalid.of("runtime", f"There is no such runtime. Use one of: {', '.join(kinds())}.")
    return _runtimes[kind]
