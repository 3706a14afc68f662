"""The one door to a run's life in Postgres: each function here is one call and one commit.

The SQL (migrations/sql) decides; this module gives its answers types. Outcomes are values: whoever
calls turns them into errors that mean something to a client.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from apps.agents.runtimes.base import Turn
from apps.common.json import JsonDecoder, Object
from apps.runs.spine_types import Admission as Admission
from apps.runs.spine_types import Began as Began
from apps.runs.spine_types import Claim as Claim
from apps.runs.spine_types import Done as Done
from apps.runs.spine_types import Ending as Ending
from apps.runs.spine_types import Hold as Hold
from apps.runs.spine_types import Keyed as Keyed
from apps.runs.spine_types import Notes as Notes
from apps.runs.spine_types import Order as Order
from apps.runs.spine_types import Outcome as Outcome
from apps.runs.spine_types import Parentage as Parentage
from apps.runs.spine_types import Standing as Standing
from apps.runs.spine_types import Suspended as Suspended
from apps.runs.spine_types import Waiting as Waiting
from apps.runs.states import RunStatus, StepStatus

LEASE: Final = timedelta(seconds=settings.RUN_LEASE_SECONDS)
"""How long an execution owns its run without saying again that it lives."""
TRIES: Final = 3
GRACE: Final = timedelta(seconds=5)
"""How late an execution may be in ending a run that is out of time by itself."""
# The last column has its effect at the commit: Postgres goes on before that is on disk.
_ADMIT: Final = """
select outcome, run_id, lease_no, status, reason, root_id, lineage, deadline_at,
  case when %s and outcome = 'admitted' then set_config('synchronous_commit', 'off', true) end
from admit(
  p_run => %s, p_agent => %s, p_manifest => %s, p_project => %s, p_tool => %s, p_title => %s,
  p_mode => %s, p_input => %s, p_timeout => %s::int, p_caller_type => %s, p_caller_id => %s,
  p_caller_label => %s, p_member => %s, p_principal => %s, p_key => %s, p_fingerprint => %s,
  p_refusal => %s, p_recalled => %s, p_scopes => %s::uuid[], p_price => %s::bigint,
  p_bundle => %s::int, p_tags => %s, p_decision => %s, p_awaits => %s, p_sealed => %s,
  p_parent => %s, p_parent_lease => %s::int, p_step => %s, p_step_name => %s, p_ordinal => %s::int,
  p_notes => %s, p_session => %s, p_lease => %s, p_at => %s)
"""


def admit(order: Order, *, at: datetime) -> Admission:
    """Let a run begin, refuse it on record, or say what its key already stands for."""
    parent = order.parent
    row = _one(
        _ADMIT,
        order.is_flushed_by_its_end,
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
        order.member_id,
        order.claim.principal,
        order.claim.key,
        order.claim.fingerprint,
        order.refusal,
        order.is_recalled,
        list(order.scopes),
        order.price_micros,
        order.bundle,
        _json(order.tags),
        _json(order.decision),
        order.awaits,
        order.is_sealed,
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
    outcome, run_id, lease_no, status, reason, root_id, lineage, deadline_at, _ = row
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
    error: Object | None = None,
    bundle: int | None = None,
    tags: Object | None = None,
    decision: Object | None = None,
    at: datetime,
) -> Began:
    """Put the beginning of a step on record, if the run is ours; else it must not begin.

    What policies said of it goes along, and counts while they are those of `bundle` and the
    projects' tags are `tags`. With an `error` it is over: it was refused.
    """
    began: Began = _one(
        "select begin_step(%s, %s::int, %s, %s::int, %s, %s, %s, %s, %s::int, %s, %s, %s, %s)",
        hold.run_id,
        hold.lease_no,
        step_id,
        ordinal,
        kind,
        name,
        _json(input),
        _json(error),
        bundle,
        _json(tags),
        _json(decision),
        _json(notes),
        at,
    )[0]
    return began


def end_step(
    hold: Hold,
    *,
    step_id: UUID,
    status: StepStatus,
    output: Object | None = None,
    error: Object | None = None,
    call_key: str = "",
    is_sealed: bool = False,
    host: str | None = None,
    spent: Object | None = None,
    at: datetime,
) -> Standing:
    """Put a step's result on record; it is discarded if the run is lost. What was spent is not.

    Where it ended well, its `host` is known from now on, and by its `call_key` another attempt
    finds what it got: here, or sealed.
    """
    standing: Standing = _one(
        "select end_step(%s, %s::int, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        hold.run_id,
        hold.lease_no,
        step_id,
        status,
        _json(output),
        _json(error),
        call_key,
        is_sealed,
        host,
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


def suspend_run(hold: Hold, waiting: Waiting, *, at: datetime) -> Suspended:
    """Have the run's whole tree wait for a person's word on one call, if the run is ours.

    Nothing is ours afterwards: another attempt goes on when somebody has agreed.
    """
    suspended: Suspended = _one(
        "select suspend_run(%s, %s::int, %s, %s::int, %s, %s, %s, %s::int, %s, %s, %s, %s, %s)",
        hold.run_id,
        hold.lease_no,
        waiting.step_id,
        waiting.ordinal,
        waiting.kind,
        waiting.name,
        _json(waiting.input),
        waiting.bundle,
        _json(waiting.tags),
        _json(waiting.decision),
        _json(waiting.spent),
        _json(waiting.notes),
        at,
    )[0]
    return suspended


def resume_run(
    run_id: UUID,
    *,
    approval_id: UUID,
    bundle: int | None = None,
    tags: Object | None = None,
    decision: Object | None = None,
    at: datetime,
) -> str:
    """Have a run that waits for a person go on, by a worker; `queued` says that it does.

    Else `gone` (it doesn't wait for this any more), `stale_policy`, or the reason against it.
    """
    sql = "select resume_run(%s, %s, %s::int, %s, %s, %s)"
    said: str = _one(sql, run_id, approval_id, bundle, _json(tags), _json(decision), at)[0]
    return said


def deny_run(
    run_id: UUID, *, approval_id: UUID, reason: str, decision: Object | None, at: datetime
) -> bool:
    """Refuse a run that waits for a person; False if it doesn't wait for this any more."""
    sql = "select deny_run(%s, %s, %s, %s, %s)"
    still: bool = _one(sql, run_id, approval_id, reason, _json(decision), at)[0]
    return still


def await_approval(run_id: UUID, approval_id: UUID) -> None:
    """Say what a run that waits for a person is waiting for."""
    _all("update runs set approval_id = %s where id = %s returning id", approval_id, run_id)


_DONE: Final = """
select distinct on (s.ordinal, s.call_key) s.ordinal, s.call_key, s.output::text,
  case when s.is_sealed then s.id end,
  (select d.obligations from decisions d where d.run_id = s.run_id and d.ordinal = s.ordinal
    and d.at <= s.started_at order by d.at desc limit 1)::text
from steps s
where s.run_id = %s and s.attempt < %s::int and s.status = 'succeeded' and s.call_key <> ''
order by s.ordinal, s.call_key, s.attempt desc
"""


def list_done(hold: Hold) -> dict[tuple[int, str], Done]:
    """What earlier attempts were given by tool calls that ended well, by ordinal and call key."""
    rows = _all(_DONE, hold.run_id, hold.lease_no)
    return {
        (ordinal, key): Done(
            json.loads(output, cls=JsonDecoder), sealed_id, json.loads(obligations or "{}")
        )
        for ordinal, key, output, sealed_id, obligations in rows
    }


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
