"""What goes into a run's life in Postgres and what comes out; `apps.runs.spine` has the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from apps.common.actors import Actor
from apps.common.json import Object
from apps.runs.states import RunStatus

NO_REASON: Final = ""

Outcome = Literal[
    "admitted",
    "replay",
    "in_flight",
    "other_body",
    "denied",
    "no_budget",
    "no_agent",
    "stale_manifest",
    "stale_policy",
    "awaiting_approval",
    "must_wait",
    "fenced",
    "late",
    "cycle",
    "too_deep",
]

Standing = Literal["ours", "late", "lost"]
"""What a run is to its execution, by Postgres and its clock: its own; its own and out of time, so
that it can only be ended; or no longer its own."""

Began = Literal["ours", "late", "lost", "stale_policy"]
"""The same of a run that is to begin something that policies were asked about; or they have changed
since."""

Suspended = Literal["ours", "late", "lost", "stale_policy", "often"]
"""The same of a run that is to wait for a person; or people were asked too often in it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An execution's claim on its run: `lease_no` is the fencing token."""

    run_id: UUID
    lease_no: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A request's Idempotency-Key: whose it is, and the digest of what was asked for."""

    principal: str
    key: str | None
    fingerprint: bytes | None


@dataclass(frozen=True, slots=True)
class Parentage:
    """The run that calls, the call's place among its steps, and what it has noted until now."""

    hold: Hold
    step_id: UUID
    step_name: str
    ordinal: int
    notes: Notes | None


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a run is made of; `refusal` is the code of a reason against it.

    `price_micros` is what it may cost, in each of the budgets (`scopes`) that it counts against.
    An agent that `is_recalled` by its slug and is gone or retired is looked for again. A child's
    session is its parent's, by the database, and so is who stands behind it (`member_id`).

    `decision` is kept with the run; it counts while the org's policies are those of `bundle` and
    the projects' tags are `tags`. Without a bundle nothing was asked. One that `awaits` a person's
    word doesn't begin; of one that `is_sealed` the input is masked here.

    One that only computes and is answered after its end `is_flushed_by_its_end`: nobody is told of
    it, and nothing outside can happen, before a later commit has put this one on disk as well. What
    a power cut takes back of it in between, nobody has seen the result of.
    """

    run_id: UUID
    agent_id: UUID
    manifest_id: UUID
    project_id: UUID
    tool: str
    title: str
    mode: str
    input: Object
    timeout_seconds: int
    caller: Actor
    claim: Claim
    price_micros: int
    scopes: Sequence[UUID]
    refusal: str | None = None
    is_recalled: bool = False
    parent: Parentage | None = None
    session_id: str | None = None
    member_id: UUID | None = None
    bundle: int | None = None
    tags: Object | None = None
    decision: Object | None = None
    awaits: bool = False
    is_sealed: bool = False
    is_flushed_by_its_end: bool = False


@dataclass(frozen=True, slots=True)
class Keyed:
    """What an Idempotency-Key stands for, and how a request with it is answered."""

    run_id: UUID
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of an order. `lease_no` counts when admitted, `reason` when refused on record."""

    outcome: Outcome
    run_id: UUID
    lease_no: int
    status: RunStatus
    reason: str
    root_id: UUID
    lineage: tuple[UUID, ...]
    deadline_at: datetime

    @property
    def hold(self) -> Hold:
        return Hold(self.run_id, self.lease_no)


@dataclass(slots=True)
class Notes:
    """What an execution gathers between two calls: log lines, and steps that are over.

    `delta` is text of an answer under way, which came before them; it is kept as events only.
    """

    logs: list[Object] = field(default_factory=list)
    steps: list[Object] = field(default_factory=list)
    delta: str = ""

    def __bool__(self) -> bool:
        return bool(self.logs or self.steps or self.delta)

    def as_json(self) -> Object:
        return {"logs": self.logs, "steps": self.steps, "delta": self.delta}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; `error` is `{"code", "message"}` of one that didn't succeed, `usage` what it
    asked of models.
    """

    status: RunStatus
    reason: str = NO_REASON
    output: Object | None = None
    error: Object | None = None
    cost_micros: int = 0
    usage: Object | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a tool call was given in an earlier attempt, and what it was obliged to. Where something
    of it is hidden, the whole is sealed under its step's id.
    """

    output: Object
    sealed_id: UUID | None
    obligations: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that a person has to agree to: its place in the run, and all that goes on record."""

    step_id: UUID
    ordinal: int
    kind: str
    name: str
    input: Object | None
    bundle: int | None
    tags: Object | None
    decision: Object | None
    spent: Object | None
    notes: Notes | None
