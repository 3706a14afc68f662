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
from apps.runs.states import RunStatus
from apps.trust.services import record_event

log = structlog.get_logger(__name__)

KEY_LIFE: Final = timedelta(hours=24)
_BATCH: Final = 500
_KEYS: Final = 1000
_KEY_BATCHES: Final = 50
"""A visit every five seconds keeps up with 10,000 keys a second."""
_WAKE: Final = 50
_PATIENCE: Final = timedelta(seconds=5)


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
    rows = Run.objects.filter(agent_id=agent_id, status__in=[RunStatus.QUEUED, RunStatus.RUNNING])
    open_runs = list(rows.values_list("id", flat=True))
    return len(spine.stop_runs(open_runs, status=RunStatus.CANCELLED, reason=reason, at=at))


def sweep_runs(at: datetime) -> None:
    """The sweeper's step: reap what nobody carries out, and wake workers for what waits."""
    for run_id, verdict in spine.reap_runs(limit=_BATCH, at=at):
        log.warning("run.reaped", run=str(run_id), verdict=verdict)
    waiting = Run.objects.filter(
        status=RunStatus.QUEUED, agent__status=AgentStatus.ACTIVE, created_at__lt=at - _PATIENCE
    )
    for _ in range(waiting[:_WAKE].count()):
        enqueue("runs.work")


def forget_keys(at: datetime) -> None:
    """The sweeper's step: an Idempotency-Key counts for a day, its run stays."""
    for _ in range(_KEY_BATCHES):
        if spine.forget_keys(before=at - KEY_LIFE, limit=_KEYS) < _KEYS:
            return
