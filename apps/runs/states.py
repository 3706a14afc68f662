"""The states of a run and of a step, and the only moves between them.

The moves are made by the SQL functions of `apps.runs.spine`, inside Postgres; a trigger there
refuses every other one, whoever tries. Its list of moves is written by hand (migrations/sql) and
this table is the same in Python; a test drives every state into every other, so they can't differ.
"""

from __future__ import annotations

from typing import Final

from django.db import models


class RunStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    DENIED = "denied", "Denied"
    CANCELLED = "cancelled", "Cancelled"
    TIMED_OUT = "timed_out", "Timed out"


class StepStatus(models.TextChoices):
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    DISCARDED = "discarded", "Discarded"


OPEN: Final = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL)
CLOSED: Final = tuple(status for status in RunStatus if status not in OPEN)

# (from, to) → who moves it. A run begins queued, running, denied or awaiting approval; ends once.
MOVES: Final[dict[tuple[RunStatus, RunStatus], str]] = {
    (RunStatus.QUEUED, RunStatus.RUNNING): "the worker that claims it",
    (RunStatus.QUEUED, RunStatus.CANCELLED): "whoever cancels it, or stops its agent",
    (RunStatus.RUNNING, RunStatus.SUCCEEDED): "its execution",
    (RunStatus.RUNNING, RunStatus.FAILED): "its execution, or the reaper after the last try",
    (RunStatus.RUNNING, RunStatus.TIMED_OUT): "its execution, or the reaper",
    (
        RunStatus.RUNNING,
        RunStatus.CANCELLED,
    ): "whoever cancels it or stops its agent; its parent's end, or next attempt if it may no more",
    (RunStatus.RUNNING, RunStatus.QUEUED): "the reaper, when its lease ran out",
    (
        RunStatus.RUNNING,
        RunStatus.AWAITING_APPROVAL,
    ): "its execution, when a call of it needs a person's word; with it all that is open below",
    (RunStatus.AWAITING_APPROVAL, RunStatus.QUEUED): "whoever approves it, once it still may",
    (RunStatus.AWAITING_APPROVAL, RunStatus.RUNNING): "its parent's next attempt, which goes on",
    (RunStatus.AWAITING_APPROVAL, RunStatus.DENIED): "whoever rejects it, and the approval's end",
    (
        RunStatus.AWAITING_APPROVAL,
        RunStatus.CANCELLED,
    ): "whoever cancels it or stops its agent; its parent's end, or next attempt if it may no more",
}
