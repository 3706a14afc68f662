"""Ending runs from outside: by hand, with their agent, or because nobody carries them out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction

from apps.agents.models import AgentStatus
from apps.common.actors import Actor
from apps.common.deadlocks import again_after_deadlock
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.runs import selectors, spine
from apps.runs.errors import RUN, RunClosed
from apps.runs.models import Run
from apps.runs.selectors import RunView
from apps.runs.services.waiting import forget_questions
from apps.runs.states import OPEN, RunStatus
from apps.tenants import keys, sweeping
from apps.trust.services import record_event

log = structlog.get_logger(__name__)

KEY_LIFE: Final = timedelta(hours=24)
_BATCH: Final = 500
_KEYS: Final = 1000
_KEY_BATCHES: Final = 50
"""A visit every five seconds keeps up with 10,000 keys a second."""
_PATIENCE: Final = timedelta(seconds=5)
_WAKE: Final = 4
_WAKE_EVERY: Final = timedelta(seconds=15)
_woken: dict[UUID | None, datetime] = {}


@again_after_deadlock
def cancel_run(*, run_id: UUID, actor: Actor, at: datetime) -> RunView:
    """End an open run and all below it; what they were doing is discarded.

    Raises NotFound, RunClosed.
    """
    selectors.get_run(run_id)
    with transaction.atomic():
        stopped = spine.stop_runs([run_id], status=RunStatus.CANCELLED, reason="by_hand", at=at)
        if run_id not in stopped:
            raise RunClosed("There is nothing left to cancel.")
        forget_questions(stopped, actor=actor, at=at)
        record_event(
            actor=actor,
            action="runs.run.cancelled",
            subject_type="run",
            subject_id=public_id(RUN, run_id),
            new={"stopped_runs": len(stopped)},
            at=at,
        )
    return selectors.get_run(run_id)


def stop_runs_of_agent(*, agent_id: UUID, actor: Actor, at: datetime, reason: str) -> int:
    """The kill switch's part: end every open run of an agent, whose row the caller has locked."""
    rows = Run.objects.filter(agent_id=agent_id, status__in=OPEN)
    open_runs = list(rows.values_list("id", flat=True))
    stopped = spine.stop_runs(open_runs, status=RunStatus.CANCELLED, reason=reason, at=at)
    forget_questions(stopped, actor=actor, at=at)
    return len(stopped)


def sweep_runs(at: datetime) -> None:
    """The sweeper's step: reap what nobody carries out, and wake workers for what waits.

    A worker that was woken goes on until nothing waits any more, so an org needs few and not soon
    again: while all workers are busy, what wakes them piles up.
    """
    again = _reap(at)
    org_id = keys.current().org_id
    if not again and org_id in _woken and at - _woken[org_id] < _WAKE_EVERY:
        return
    waiting = Run.objects.filter(
        status=RunStatus.QUEUED, agent__status=AgentStatus.ACTIVE, created_at__lt=at - _PATIENCE
    )
    few = min(_WAKE, max(again, waiting[:_WAKE].count()))
    for _ in range(few):
        enqueue("runs.work")
    if few:
        _woken[org_id] = at


def _reap(at: datetime) -> int:
    """Take runs from who is silent, once everybody alive could say so; how many wait again."""
    if sweeping.in_sight_for() < spine.LEASE:
        return 0
    reaped = spine.reap_runs(limit=_BATCH, at=at)
    for run_id, verdict in reaped:
        log.warning("run.reaped", run=str(run_id), verdict=verdict)
    return sum(verdict == RunStatus.QUEUED for _, verdict in reaped)


def forget_keys(at: datetime) -> None:
    """The sweeper's step: an Idempotency-Key counts for a day, its run stays."""
    for _ in range(_KEY_BATCHES):
        if spine.forget_keys(before=at - KEY_LIFE, limit=_KEYS) < _KEYS:
            return
