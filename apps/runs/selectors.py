"""Reads of runs, their steps and their logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, QuerySet

from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.json import Object
from apps.runs.models import Run, RunLog, Step
from apps.runs.spine import Ending
from apps.runs.states import CLOSED, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as everybody sees it: the API's run object, and what the pages show."""

    id: UUID
    title: str
    agent_id: UUID
    agent: str
    tool: str
    project: str
    caller: Actor
    status: RunStatus
    reason: str
    mode: str
    environment: str
    input: Object
    output: Object | None
    error: Object | None
    cost_micros: int
    parent_id: UUID | None
    root_id: UUID
    children: tuple[UUID, ...]
    manifest_version: int
    manifest_digest: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_closed(self) -> bool:
        return self.status in CLOSED

    @property
    def duration(self) -> timedelta | None:
        """From its start to its end; None while it isn't over, or if it never began."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(self.finished_at - self.started_at, timedelta())


def list_runs(
    *,
    project_id: UUID | None = None,
    agent_id: UUID | None = None,
    status: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    caller: str = "",
    root_id: UUID | None = None,
) -> QuerySet[Run]:
    """Runs with all that a view of them needs, in one query; every filter has its index."""
    wanted = {
        "project_id": project_id,
        "agent_id": agent_id,
        "status": status,
        "created_at__gte": since,
        "created_at__lt": until,
        "caller_id": caller,
        "root_id": root_id,
    }
    rows = Run.objects.filter(**{name: value for name, value in wanted.items() if value})
    return _whole(rows)


def get_run(run_id: UUID) -> RunView:
    """One run; raises NotFound."""
    row = _whole(Run.objects.filter(id=run_id)).first()
    if row is None:
        raise NotFound
    return view_of(row)


def get_ending(run_id: UUID) -> Ending:
    """How a run ended."""
    row = Run.objects.only("status", "reason", "output", "error", "cost_micros").get(id=run_id)
    return Ending(RunStatus(row.status), row.reason, row.output, row.error, row.cost_micros)


def get_manifest_id(run_id: UUID) -> UUID:
    """The manifest that a run began under."""
    return Run.objects.values_list("manifest_id", flat=True).get(id=run_id)


def list_tree(root_id: UUID) -> list[RunView]:
    """A root run and everything below it, in the order in which they began."""
    return [view_of(row) for row in list_runs(root_id=root_id).order_by("created_at", "id")]


def list_steps(run_id: UUID) -> QuerySet[Step]:
    """A run's steps by attempt, in order."""
    return Step.objects.filter(run_id=run_id).order_by("attempt", "ordinal")


def list_logs(run_id: UUID) -> QuerySet[RunLog]:
    """A run's log, oldest line first."""
    return RunLog.objects.filter(run_id=run_id).order_by("at", "id")


def view_of(row: Run) -> RunView:
    """The view of a row that `list_runs` read."""
    return RunView(
        id=row.id,
        title=row.title,
        agent_id=row.agent_id,
        agent=row.agent_slug,  # type: ignore[attr-defined]
        tool=row.tool,
        project=row.project_slug,  # type: ignore[attr-defined]
        caller=Actor(ActorType(row.caller_type), row.caller_id, row.caller_label),
        status=RunStatus(row.status),
        reason=row.reason,
        mode=row.mode,
        environment=row.environment,
        input=row.input,
        output=row.output,
        error=row.error,
        cost_micros=row.cost_micros,
        parent_id=row.parent_id,
        root_id=row.root_id,
        children=tuple(row.child_ids),  # type: ignore[attr-defined]
        manifest_version=row.manifest_version,  # type: ignore[attr-defined]
        manifest_digest=row.manifest_digest,  # type: ignore[attr-defined]
        attempt=row.lease_no,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _whole(rows: QuerySet[Run]) -> QuerySet[Run]:
    """Annotate what stands in other tables; children are found by their root's index."""
    children = Run.objects.filter(root_id=OuterRef("root_id"), parent_id=OuterRef("pk"))
    return rows.annotate(
        agent_slug=F("agent__slug"),
        project_slug=F("project__slug"),
        manifest_version=F("manifest__version"),
        manifest_digest=F("manifest__digest"),
        child_ids=ArraySubquery(children.order_by("created_at", "id").values("id")),
    )
