"""Reads of runs, their steps and their logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.fields.json import KT

from apps.agents.models import Agent, AgentStatus
from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.common.json import Object
from apps.orgs.models import ApiKey, Member, RolePermission
from apps.orgs.principals import Principal
from apps.orgs.selectors import KEY
from apps.runs.models import Feedback, Rating, Run, RunEvent, RunLog, SavedView, Step
from apps.runs.spine import Ending
from apps.runs.states import CLOSED, OPEN, RunStatus


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
    session_id: str | None
    input: Object | None
    output: Object | None
    error: Object | None
    cost_micros: int
    usage: Object | None
    parent_id: UUID | None
    root_id: UUID
    children: tuple[UUID, ...]
    manifest_version: int
    manifest_digest: str
    decision_id: UUID | None
    approval_id: UUID | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    agent_status: str = AgentStatus.ACTIVE
    withheld: bool = False

    @property
    def is_closed(self) -> bool:
        return self.status in CLOSED

    @property
    def duration(self) -> timedelta | None:
        """From its start to its end; None while it isn't over, or if it never began."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(self.finished_at - self.started_at, timedelta())


ENDING: Final = ("status", "reason", "output", "error", "cost_micros", "usage")


def list_runs(
    *,
    project_id: UUID | None = None,
    agent_id: UUID | None = None,
    status: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    caller: str = "",
    root_id: UUID | None = None,
    session_id: str = "",
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
        "session_id": session_id,
    }
    rows = Run.objects.filter(**{name: value for name, value in wanted.items() if value})
    return _whole(rows)


def get_run(run_id: UUID) -> RunView:
    """One run; raises NotFound."""
    row = _whole(Run.objects.filter(id=run_id)).first()
    if row is None:
        raise NotFound
    return view_of(row)


def get_whole_run(run_id: UUID) -> Run:
    """A run with all that carrying it out takes: its agent, both projects, and the role and groups
    that the member behind it has now (None if they have left); one query.
    """
    member = Member.objects.filter(id=OuterRef("member_id"), left_at=None)
    rows = Run.objects.select_related("agent__project", "project", "manifest")
    return rows.annotate(
        member_role=Subquery(member.values("role__slug")),
        member_groups=Subquery(member.values("groups")),
    ).get(id=run_id)


def may_invoke(member_id: UUID) -> bool:
    """Whether a member may have agents do something now."""
    rows = RolePermission.objects.filter(
        role__members__id=member_id,
        role__members__left_at=None,
        permission__code="agents.invoke",
    )
    return rows.exists()


def is_key_good(key: str, *, at: datetime) -> bool:
    """Whether a key, by its public id, opens anything now."""
    return ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=at),
        Q(grace_until=None) | Q(grace_until__gt=at),
        id=parse_id(KEY, key),
        revoked_at=None,
    ).exists()


def get_ending(run_id: UUID) -> Ending:
    """How a run ended."""
    row = Run.objects.only(*ENDING).get(id=run_id)
    facts = {name: getattr(row, name) for name in ENDING}
    return Ending(**{**facts, "status": RunStatus(row.status)})


_COST: Final = """
with recursive tree as (
  select id, root_id, cost_micros from runs where id = %s
  union all
  select r.id, r.root_id, r.cost_micros from runs r join tree t
    on r.parent_id = t.id and r.root_id = t.root_id)
select sum(cost_micros)::bigint from tree
"""


def sum_cost(run_id: UUID) -> int:
    """What a run has cost until now with all that agents did in its name."""
    rows = connection.fetch(_COST, [run_id])  # type: ignore[attr-defined]
    return int(rows[0][0])


def get_manifest_id(run_id: UUID) -> UUID:
    """The manifest that a run began under."""
    return Run.objects.values_list("manifest_id", flat=True).get(id=run_id)


def list_steps(run_id: UUID) -> QuerySet[Step]:
    """A run's steps by attempt, in order."""
    return Step.objects.filter(run_id=run_id).order_by("attempt", "ordinal")


def list_logs(run_id: UUID) -> QuerySet[RunLog]:
    """A run's log, oldest line first."""
    return RunLog.objects.filter(run_id=run_id).order_by("at", "id")


def is_over(run_id: UUID) -> bool:
    """Whether a run has ended. All of its events were committed with its end or before."""
    return Run.objects.filter(id=run_id, finished_at__isnull=False).exists()


def list_events(run_id: UUID, *, after: int) -> QuerySet[RunEvent]:
    """What was told of a run after an event, in order and without a gap."""
    return RunEvent.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackOfRun:
    """All that is thought of a run."""

    up: int
    down: int
    own: Feedback | None
    latest: list[Feedback]


def list_feedback(run_id: UUID) -> QuerySet[Feedback]:
    """What is thought of a run, the newest first."""
    return Feedback.objects.filter(run_id=run_id).order_by("-updated_at", "-id")


def get_feedback(run_id: UUID, *, principal: str, limit: int) -> FeedbackOfRun:
    """How many are for and against, what this principal thinks, and the latest; three queries."""
    rows = list_feedback(run_id)
    counts = dict(rows.order_by().values_list("rating").annotate(number=Count("id")))
    return FeedbackOfRun(
        up=counts.get(Rating.UP, 0),
        down=counts.get(Rating.DOWN, 0),
        own=rows.filter(principal=principal).first(),
        latest=list(rows[:limit]),
    )


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
        session_id=row.session_id,
        input=row.input,
        output=row.output,
        error=row.error,
        cost_micros=row.cost_micros,
        usage=row.usage,
        parent_id=row.parent_id,
        root_id=row.root_id,
        children=tuple(row.child_ids),  # type: ignore[attr-defined]
        manifest_version=row.manifest_version,  # type: ignore[attr-defined]
        manifest_digest=row.manifest_digest,  # type: ignore[attr-defined]
        decision_id=row.decision_id,
        approval_id=row.approval_id,
        attempt=row.lease_no,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        agent_status=row.agent_status,  # type: ignore[attr-defined]
    )


def _whole(rows: QuerySet[Run]) -> QuerySet[Run]:
    """Annotate what stands in other tables; children are found by their root's index.

    Looked up for the rows that are shown, and never joined: row security hides from the planner how
    many rows a small table has, and it would begin with that and sort all runs.
    """
    children = Run.objects.filter(root_id=OuterRef("root_id"), parent_id=OuterRef("pk"))
    return rows.annotate(
        agent_slug=_of("agent", "slug"),
        agent_status=_of("agent", "status"),
        project_slug=_of("project", "slug"),
        manifest_version=_of("manifest", "version"),
        manifest_digest=_of("manifest", "digest"),
        child_ids=ArraySubquery(children.order_by("created_at", "id").values("id")),
    )


def _of(relation: str, field: str) -> Subquery:
    """A field of the row that a run points at."""
    pointed: Any = Run._meta.get_field(relation).related_model
    return Subquery(pointed.objects.filter(pk=OuterRef(f"{relation}_id")).values(field))


# What the pages ask beside this ---------------------------------------------------------------

BULKY = ("input", "output", "error")


def list_run_lines(
    rows: QuerySet[Run], *, words: str = "", in_titles: bool = True, only_roots: bool = False
) -> QuerySet[Run]:
    """Narrow what `list_runs` found for a list: titles and callers that say `words`, and the
    session of that name. Not `in_titles` for who may not read titles, or words would guess them.

    No index answers `words`: give the list a `since`. What a run took and gave isn't read.
    """
    if only_roots:
        rows = rows.filter(parent_id__isnull=True)
    if words:
        says = Q(caller_label__icontains=words) | Q(session_id=words)
        rows = rows.filter(says | Q(title__icontains=words) if in_titles else says)
    return rows.annotate(error_code=KT("error__code")).defer(*BULKY)


def list_called(runs: Iterable[Run]) -> dict[UUID, list[str]]:
    """Which agents each of these runs asked, in the order of the first time; one query."""
    found = {run.id: run.root_id for run in runs}
    rows = Run.objects.filter(root_id__in=set(found.values()), parent_id__in=list(found))
    pairs = rows.values("parent_id", "agent_id").annotate(
        first=Min("created_at"), slug=_of("agent", "slug")
    )
    called: dict[UUID, list[str]] = defaultdict(list)
    for pair in pairs.order_by("first"):
        called[pair["parent_id"]].append(pair["slug"])
    return called


def list_callers(*, among: int) -> list[Actor]:
    """Who asked for the newest `among` runs, each once under their present name, by name."""
    newest = Run.objects.order_by("-created_at", "-id")
    found: dict[str, Actor] = {}
    for kind, caller, label in newest.values_list("caller_type", "caller_id", "caller_label")[
        :among
    ]:
        found.setdefault(caller, Actor(ActorType(kind), caller, label))
    return sorted(found.values(), key=lambda actor: (actor.label.lower(), actor.id))


def find_caller_label(caller_id: str) -> str | None:
    """The name that a caller goes by in the newest run that they asked for."""
    rows = Run.objects.filter(caller_id=caller_id).order_by("-created_at", "-id")
    return rows.values_list("caller_label", flat=True).first()


def list_newest_ids(*, since: datetime, limit: int) -> QuerySet[Run]:
    """The ids of the newest runs as a subquery: what bounds a search that no index answers."""
    rows = Run.objects.filter(created_at__gte=since).order_by("-created_at", "-id")
    return rows.values("id")[:limit]  # type: ignore[return-value]


def list_trace(root_id: UUID, *, limit: int) -> tuple[list[Run], list[Step]]:
    """A root run and those below it, and the steps in them, without their data; two queries."""
    runs = Run.objects.filter(root_id=root_id).annotate(agent_slug=_of("agent", "slug"))
    found: list[Run] = list(runs.defer(*BULKY).order_by("created_at", "id")[:limit])
    steps = Step.objects.filter(run_id__in=[run.id for run in found]).defer(*BULKY)
    return found, list(steps.order_by("started_at", "id")[:limit])


def find_keyed_run(*, principal: str, key: str) -> UUID | None:
    """The run that an Idempotency-Key of this caller began."""
    rows = Run.objects.filter(principal=principal, idempotency_key=key)
    return rows.exclude(status=RunStatus.DENIED).values_list("id", flat=True).first()


def list_last_runs(agent_ids: Iterable[UUID]) -> QuerySet[Run]:
    """The newest run of each of these agents: one query, one look into an index for each."""
    newest = Run.objects.filter(agent_id=OuterRef("pk")).order_by("-created_at", "-id")
    agents = Agent.objects.filter(id__in=agent_ids)
    return Run.objects.filter(id__in=agents.values(last=Subquery(newest.values("id")[:1]))).defer(
        *BULKY
    )


def count_open_runs(*, agent_id: UUID | None = None, below: UUID | None = None) -> int:
    """How many runs are queued, at work or waiting for a person: an agent's, or a root's tree's."""
    rows = Run.objects.filter(status__in=OPEN)
    if agent_id:
        rows = rows.filter(agent_id=agent_id)
    return (rows.filter(root_id=below) if below else rows).count()


def count_recent_runs(*, since: datetime, most: int, project_id: UUID | None = None) -> int:
    """How many runs began since then, counting no further than one beyond `most`."""
    return list_runs(since=since, project_id=project_id).order_by()[: most + 1].count()


# Saved views ----------------------------------------------------------------------------------


def owner_of_views(by: Principal) -> tuple[str, str]:
    """Whose a principal's own views are, as (public id, label): a member's, whichever of their
    keys asks, or an agent's.
    """
    if by.agent_id:
        return public_id("agt", by.agent_id), by.actor.label
    return public_id("mem", by.member_id), by.member_label


def list_views(by: Principal) -> QuerySet[SavedView]:
    """The views that this principal sees, by name: their own and those that are shared."""
    owner_id, _ = owner_of_views(by)
    rows = SavedView.objects.filter(Q(is_shared=True) | Q(owner_id=owner_id))
    return rows.order_by("name", "id")


def get_view(view_id: UUID, *, by: Principal) -> SavedView:
    """One of them; raises NotFound."""
    found = list_views(by).filter(id=view_id).first()
    if found is None:
        raise NotFound("There is no such view.")
    return found
