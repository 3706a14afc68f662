"""Runs that are over, written as they would stand there, for tests of what is counted of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from apps.agents.models import Agent
from apps.common.ids import uuid7
from apps.runs.models import Run
from tests.runs.factories import CALLER


def past_run(agent: Agent, at: datetime, status: str = "succeeded", **fields: Any) -> Run:
    """A run that began then; `ms` is how long it took."""
    run = _run(agent, at, status, **fields)
    run.save(force_insert=True)
    return run


def past_runs(agent: Agent, times: list[datetime], **fields: Any) -> None:
    """Many at once."""
    Run.objects.bulk_create([_run(agent, at, **fields) for at in times], batch_size=2000)


def _run(
    agent: Agent, at: datetime, status: str = "succeeded", *, ms: float = 100, **fields: Any
) -> Run:
    run_id = uuid7()
    is_open, has_begun = status in ("queued", "running"), status not in ("denied", "queued")
    given = {
        "project_id": agent.project_id,
        "environment": "live",
        "root_id": run_id,
        "finished_at": None if is_open else at + timedelta(milliseconds=ms),
        **fields,
    }
    return Run(
        id=run_id,
        agent=agent,
        manifest_id=agent.manifest_id,
        tool=agent.slug,
        title="A run",
        status=status,
        mode="sync",
        input={},
        lineage=[agent.id],
        caller_type=CALLER.type.value,
        caller_id=CALLER.id,
        caller_label=CALLER.label,
        principal=CALLER.principal,
        timeout_seconds=60,
        deadline_at=at + timedelta(minutes=1),
        created_at=at,
        started_at=at if has_begun else None,
        **given,
    )
