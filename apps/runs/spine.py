"""The one door to a run's life in Postgres: each function here is one call and one commit.

The SQL (migrations/sql) decides; this module gives its answers types. Outcomes are values: whoever
calls turns them into errors that mean something to a client.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from apps.agents.runtimes.base import Turn
from apps.common.actors import Actor
from apps.common.json import JsonDecoder, Object
from apps.runs.states import RunStatus, StepStatus

LEASE: Final = timedelta(seconds=settings.RUN_LEASE_SECONDS)
"""How long an execution owns its run without saying again that it lives."""
TRIES: Final = 3
GRACE: Final = timedelta(seconds=5)
"""How late an execution may be in ending a run that is out of time by itself."""
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
    "fenced",
    "late",
    "cycle",
    "too_deep",
]

Standing = Literal["ours", "late", "lost"]
"""What a run is to its execution, by Postgres and its clock: its own; its own and out of time, so
that it can only be ended; or no longer its own."""

_ADMIT: Final = """
select outcome, run_id, lease_no, status, reason, root_id, lineage, deadline_at from admit(
  p_run => %s, p_agent => %s, p_manifest => %s, p_project => %s, p_tool => %s, p_title => %s,
  p_mode => %s, p_input => %s, p_timeout => %s::int, p_caller_type => %s, p_caller_id => %s,
  p_caller_label => %s, p_principal => %s, p_key => %s, p_fingerprint => %s, p_refusal => %s,
  p_recalled => %s, p_scopes => %s::uuid[], p_price => %s::bigint,
  p_parent => %s, p_parent_lease => %s::int, p_step => %s, p_step_name => %s, p_ordinal => %s::int,
  p_notes => %s, p_session => %s, p_lease => %s, p_at => %s)
"""


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
    session is its parent's, by the database.
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


def admit(order: Order, *, at: datetime) -> Admission:
    """Let a run begin, refuse it on record, or say what its key already stands for."""
    parent = order.parent
    row = _one(
        _ADMIT,
        order.run_id,
        order.agent_id,
        order.manifest_id,
        order.project_id,
        order.tool,
        order.title,
        order.mode,
        Jsonb(order.input),
        order.timeout_seconds,
        order.caller.type.value,
        order.caller.id,
        order.caller.label,
        order.claim.principal,
        order.claim.key,
        order.claim.fingerprint,
        order.refusal,
        order.is_recalled,
        list(order.scopes),
        order.price_micros,
        parent and parent.hold.run_id,
        parent and parent.hold.lease_no,
        parent and parent.step_id,
        parent and parent.step_name,
        parent and parent.ordinal,
        _json(parent.notes if parent else None),
        order.session_id,
        LEASE,
        at,
    )
    outcome, run_id, lease_no, status, reason, root_id, lineage, deadline_at = row
    return Admission(
        outcome, run_id, lease_no, status, reason, root_id, tuple(lineage or ()), deadline_at
    )


def find_keyed(claim: Claim) -> Keyed | None:
    """What a key stands for already, without asking for anything; None if for nothing."""
    rows = _all(
        "select run_id, outcome from keyed_run(%s, %s, %s)",
        claim.principal,
        claim.key,
        claim.fingerprint,
    )
    return Keyed(*rows[0]) if rows else None


def close_run(
    hold: Hold,
    ending: Ending,
    *,
    spent: Object | None = None,
    statement: Object | None = None,
    notes: Notes | None = None,
    at: datetime,
) -> Standing:
    """End a run that is ours. What is late can only end as timed out; else nothing happens.

    What the attempt has spent counts in any case.
    """
    standing: Standing = _one(
        "select close_run(%s, %s::int, %s, %s, %s, %s, %s, %s, %s, %s)",
        hold.run_id,
        hold.lease_no,
        ending.status,
        ending.reason,
        _json(ending.output),
        _json(ending.error),
        _json(spent),
        _json(statement),
        _json(notes),
        at,
    )[0]
    return standing


def begin_step(
    hold: Hold,
    *,
    step_id: UUID,
    ordinal: int,
    kind: str,
    name: str,
    input: Object | None,
    notes: Notes | None,
    at: datetime,
) -> Standing:
    """Put the beginning of a step on record, if the run is ours; else it must not begin."""
    standing: Standing = _one(
        "select begin_step(%s, %s::int, %s, %s::int, %s, %s, %s, %s, %s)",
        hold.run_id,
        hold.lease_no,
        step_id,
        ordinal,
        kind,
        name,
        _json(input),
        _json(notes),
        at,
    )[0]
    return standing


def end_step(
    hold: Hold,
    *,
    step_id: UUID,
    status: StepStatus,
    output: Object | None = None,
    error: Object | None = None,
    spent: Object | None = None,
    at: datetime,
) -> Standing:
    """Put a step's result on record; it is discarded if the run is lost. What was spent is not."""
    standing: Standing = _one(
        "select end_step(%s, %s::int, %s, %s, %s, %s, %s, %s)",
        hold.run_id,
        hold.lease_no,
        step_id,
        status,
        _json(output),
        _json(error),
        _json(spent),
        at,
    )[0]
    return standing


def check_run(hold: Hold, *, notes: Notes | None = None) -> Standing:
    """What the run is to this execution; the notes go along if it is ours."""
    standing: Standing = _one(
        "select check_run(%s, %s::int, %s)", hold.run_id, hold.lease_no, _json(notes)
    )[0]
    return standing


def list_turns_before(run_id: UUID, *, turns: int, size: int) -> list[Turn]:
    """What was said in a run's session before it, the oldest first: at most so many turns and
    characters. Only what the same caller said to the same tool; see `turns_before` in the SQL.
    """
    rows = _all("select input, output from turns_before(%s, %s::int, %s::int)", run_id, turns, size)
    return [Turn(*(json.loads(said, cls=JsonDecoder) for said in row)) for row in rows]


def note_trace(run_id: UUID, traceparent: str) -> None:
    """Keep the span below which a worker is to carry the run out."""
    _all("update runs set traceparent = %s where id = %s returning id", traceparent, run_id)


def claim_run(*, at: datetime) -> Hold | None:
    """Take the oldest queued run of an agent that is active; None if there is none."""
    run_id, lease_no = _one("select run_id, lease_no from claim_run(%s, %s)", LEASE, at)
    return Hold(run_id, lease_no) if run_id else None


def renew_leases(holds: Sequence[Hold]) -> set[UUID]:
    """Say that these executions live; gives the runs that are still theirs."""
    rows = _all(
        "select renew_leases(%s::uuid[], %s::int[], %s)",
        [hold.run_id for hold in holds],
        [hold.lease_no for hold in holds],
        LEASE,
    )
    return {run_id for (run_id,) in rows}


def stop_runs(
    run_ids: Sequence[UUID], *, status: RunStatus, reason: str, at: datetime
) -> set[UUID]:
    """End these runs and all below them that are open; gives those that were."""
    rows = _all("select stop_runs(%s::uuid[], %s, %s, %s)", list(run_ids), status, reason, at)
    return {run_id for (run_id,) in rows}


def reap_runs(*, limit: int, at: datetime) -> list[tuple[UUID, RunStatus]]:
    """Take runs from executions that are silent or late; gives what became of each.

    One run and what is below it a commit, so that the locks of two trees are never mixed.
    """
    reaped: list[tuple[UUID, RunStatus]] = []
    while len(reaped) < limit:
        run_id, verdict = _one(
            "select run_id, verdict from reap_run(%s::int, %s, %s)", TRIES, GRACE, at
        )
        if run_id is None:
            break
        reaped.append((run_id, RunStatus(verdict)))
    return reaped


def watch_run(run_id: UUID) -> None:
    """Have what happens in an open run become events from now on, if it doesn't yet."""
    _all("select watch_run(%s)", run_id)


def forget_keys(*, before: datetime, limit: int) -> int:
    """Forget the oldest keys of runs that are over and began before then; gives how many."""
    forgotten: int = _one("select forget_keys(%s, %s::int)", before, limit)[0]
    return forgotten


def _json(value: Notes | Object | None) -> Jsonb | None:
    if isinstance(value, Notes):
        return Jsonb(value.as_json()) if value else None
    return None if value is None else Jsonb(value)


def _one(sql: str, *params: Any) -> tuple[Any, ...]:
    return _all(sql, *params)[0]


def _all(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.fetch(sql, params)  # type: ignore[attr-defined]
    return rows
