"""What agents did: runs, the steps in them, and what they said while working."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from apps.common.actors import Actor, ActorType
from apps.common.fsm import states_constraint
from apps.common.json import JsonDecoder
from apps.common.models import TenantModel
from apps.runs.states import RunStatus, StepStatus

SESSION_MAX: Final = 128
SESSION: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{SESSION_MAX}}}")
SESSION_RULE: Final = f"Use 1 to {SESSION_MAX} letters, digits and . _ : -"


class Run(TenantModel):
    """One invocation of one tool of one agent. Written only by `apps.runs.spine`.

    The row is three things at once, so that one insert and one update carry an invocation: the
    record; the queue's entry with its lease (`lease_no` is the fencing token: who holds an older
    one can change nothing); and the memory of an Idempotency-Key (`principal`, `idempotency_key`,
    `fingerprint`), which a refused run doesn't keep. `lineage` is the agents from the root's to
    this run's own. Runs of one `session_id` belong together, and a child has its parent's; which of
    them share their context, `turns_before` (migrations/sql) says. What happens in a run that is
    `told` becomes events (`RunEvent`) as well. `spent` is by attempt what `cost_micros` and `usage`
    are the sums of. `traceparent` is the span below which a worker carries it out.

    `decision_id` is what policies said when it was asked for, `approval_id` what a person was asked
    last, `member_id` who stands behind whoever began it all. Attempts that ended because a person
    had to be asked are `resumed`. The input of one that `is_sealed` stands here masked, and whole
    in the secret store until it is over.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    class Mode(models.TextChoices):
        SYNC = "sync", "Sync"
        ASYNC = "async", "Async"

    class Environment(models.TextChoices):
        LIVE = "live", "Live"
        SANDBOX = "sandbox", "Sandbox"
        REPLAY = "replay", "Replay"

    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    manifest = models.ForeignKey(
        "agents.Manifest", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    project = models.ForeignKey(
        "orgs.Project", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    tool = models.CharField(max_length=64)
    title = models.CharField(max_length=120)
    status = models.CharField(
        max_length=20, choices=RunStatus.choices, db_default=RunStatus.QUEUED.value
    )
    reason = models.CharField(max_length=60, blank=True)
    mode = models.CharField(max_length=10, choices=Mode.choices)
    environment = models.CharField(
        max_length=8, choices=Environment.choices, default=Environment.LIVE
    )
    input = models.JSONField(decoder=JsonDecoder)
    output = models.JSONField(null=True, decoder=JsonDecoder)
    error = models.JSONField(null=True)
    cost_micros = models.BigIntegerField(default=0)
    usage = models.JSONField(null=True)
    spent = models.JSONField(null=True)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    root_id = models.UUIDField()
    lineage = ArrayField(models.UUIDField())
    caller_type = models.CharField(max_length=20)
    caller_id = models.CharField(max_length=40)
    caller_label = models.CharField(max_length=200)
    principal = models.CharField(max_length=130)
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - NULL is no key
    fingerprint = models.BinaryField(null=True)
    session_id = models.CharField(max_length=SESSION_MAX, null=True)  # noqa: DJ001 - NULL is none
    lease_no = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    timeout_seconds = models.PositiveIntegerField()
    deadline_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    told = models.BooleanField(db_default=False)
    traceparent = models.CharField(max_length=55, blank=True, db_default="")
    decision_id = models.UUIDField(null=True)
    approval_id = models.UUIDField(null=True)
    member_id = models.UUIDField(null=True)
    resumed = models.PositiveIntegerField(db_default=0)
    is_sealed = models.BooleanField(db_default=False)

    class Meta:
        db_table = "runs"
        constraints = [
            states_constraint("status", RunStatus, name="run_status"),
            models.UniqueConstraint(
                fields=["principal", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False) & ~Q(status="denied"),
                name="run_once_a_key",
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None, status__in=["queued", "running", "awaiting_approval"])
                | Q(finished_at__isnull=False)
                & ~Q(status__in=["queued", "running", "awaiting_approval"]),
                name="run_finished_iff_closed",
            ),
            models.CheckConstraint(
                condition=Q(status="running", deadline_at__isnull=False) | ~Q(status="running"),
                name="run_running_has_deadline",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="run_newest"),
            models.Index(fields=["agent", "-created_at", "-id"], name="run_of_agent"),
            models.Index(fields=["project", "-created_at", "-id"], name="run_of_project"),
            models.Index(fields=["status", "-created_at", "-id"], name="run_of_status"),
            models.Index(fields=["caller_id", "-created_at", "-id"], name="run_of_caller"),
            models.Index(fields=["root_id"], name="run_of_root"),
            models.Index(
                fields=["session_id", "-created_at", "-id"],
                condition=Q(session_id__isnull=False),
                name="run_of_session",
            ),
            models.Index(
                fields=["session_id", "agent", "caller_id", "-created_at", "-id"],
                condition=Q(session_id__isnull=False),
                name="run_turn",
            ),
            models.Index(
                fields=["created_at", "id"],
                condition=Q(status__in=["queued", "running"]),
                name="run_open",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(idempotency_key__isnull=False),
                name="run_keyed",
            ),
            models.Index(
                fields=["parent"],
                condition=Q(
                    parent__isnull=False, status__in=["queued", "running", "awaiting_approval"]
                ),
                name="run_open_below",
            ),
            models.Index(fields=["id"], condition=Q(is_sealed=True), name="run_sealed"),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.status}"


class Step(TenantModel):
    """One thing that a run did beyond computing: its own work, an outside call, another agent.

    `attempt` is the run's `lease_no` when it began: a second attempt's steps stand beside the
    first's. A tool call that ended well has a `call_key`: another attempt that makes the same call
    is given what this one got. One that `is_sealed` has something hidden here, and the whole output
    in the secret store until the run is over.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    class Kind(models.TextChoices):
        WORK = "work", "Work"
        TOOL_CALL = "tool_call", "Tool call"
        AGENT_CALL = "agent_call", "Agent call"

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="steps", db_index=False)
    attempt = models.PositiveIntegerField()
    ordinal = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=StepStatus.choices, db_default=StepStatus.RUNNING.value
    )
    input = models.JSONField(null=True, decoder=JsonDecoder)
    output = models.JSONField(null=True, decoder=JsonDecoder)
    error = models.JSONField(null=True)
    child = models.ForeignKey(
        Run, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    call_key = models.CharField(max_length=64, blank=True, db_default="")
    is_sealed = models.BooleanField(db_default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "steps"
        constraints = [
            models.UniqueConstraint(fields=["run", "attempt", "ordinal"], name="step_ordinal"),
            states_constraint("status", StepStatus, name="step_status"),
            models.CheckConstraint(
                condition=Q(status="running", finished_at=None)
                | ~Q(status="running") & Q(finished_at__isnull=False),
                name="step_finished_iff_ended",
            ),
        ]
        indexes = [
            models.Index(fields=["child"], condition=Q(child__isnull=False), name="step_of_child"),
            models.Index(fields=["id"], condition=Q(is_sealed=True), name="step_sealed"),
        ]

    def __str__(self) -> str:
        return f"{self.ordinal} {self.name}"


class KnownHost(TenantModel):
    """A host that has answered a tool call of this org well: the next call of it is no news."""

    app_grants: ClassVar = ("select", "insert")

    host = models.CharField(max_length=255)
    first_at = models.DateTimeField()

    class Meta:
        db_table = "known_hosts"
        constraints = [models.UniqueConstraint(fields=["host"], name="known_host_once")]

    def __str__(self) -> str:
        return self.host


class LogLevel(models.TextChoices):
    DEBUG = "debug", "Debug"
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"


class RunLog(TenantModel):
    """A line that an agent wrote while it worked."""

    app_grants: ClassVar = ("select", "insert")

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="logs", db_index=False)
    attempt = models.PositiveIntegerField()
    at = models.DateTimeField()
    level = models.CharField(
        max_length=10, choices=LogLevel.choices, db_default=LogLevel.INFO.value
    )
    message = models.CharField(max_length=2000)
    fields = models.JSONField(default=dict)

    class Meta:
        db_table = "run_logs"
        constraints = [states_constraint("level", LogLevel, name="run_log_level")]
        indexes = [models.Index(fields=["run", "at", "id"], name="run_log_of_run")]

    def __str__(self) -> str:
        return self.message


class EventKind(models.TextChoices):
    STATUS = "status", "Status"
    STEP = "step", "Step"
    LOG = "log", "Log"
    DELTA = "delta", "Delta"


class RunEvent(TenantModel):
    """What somebody who follows a run is told, in the order of commits.

    Written by triggers and `tell` (migrations/sql) for runs that are `told`: `seq` counts from 1
    without a gap, and an event is to be seen only after all before it are. So a stream goes on
    anywhere, exactly after the last event that arrived.
    """

    app_grants: ClassVar = ("select", "insert")

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+", db_index=False)
    seq = models.PositiveIntegerField()
    kind = models.CharField(
        max_length=10, choices=EventKind.choices, db_default=EventKind.STATUS.value
    )
    data = models.JSONField(decoder=JsonDecoder)
    at = models.DateTimeField()

    class Meta:
        db_table = "run_events"
        constraints = [
            models.UniqueConstraint(fields=["run", "seq"], name="run_event_seq"),
            states_constraint("kind", EventKind, name="run_event_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


COMMENT_MAX = 2000


class Rating(models.TextChoices):
    UP = "up", "Thumbs up"
    DOWN = "down", "Thumbs down"


class Feedback(TenantModel):
    """What one principal thinks of a run; the row says who, and when for the last time."""

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+", db_index=False)
    principal = models.CharField(max_length=130)
    rating = models.CharField(max_length=4, choices=Rating.choices, db_default=Rating.UP.value)
    comment = models.CharField(max_length=COMMENT_MAX, blank=True)
    by_type = models.CharField(max_length=20)
    by_id = models.CharField(max_length=40)
    by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "run_feedback"
        constraints = [
            models.UniqueConstraint(fields=["run", "principal"], name="run_feedback_once"),
            states_constraint("rating", Rating, name="run_feedback_rating"),
        ]

    def __str__(self) -> str:
        return self.rating

    @property
    def author(self) -> Actor:
        return Actor(ActorType(self.by_type), self.by_id, self.by_label)

    @property
    def icon(self) -> str:
        return f"thumbs-{self.rating}"


NAME_MAX = 60


class SavedView(TenantModel):
    """A filter of the list of runs under a name: its owner's, or everybody's.

    `owner_id` is the public id of a member or, for an agent's own keys, of the agent. `query` is
    the filter as it stands in the list's address, without the project.
    """

    name = models.CharField(max_length=NAME_MAX)
    query = models.JSONField(default=dict)
    is_shared = models.BooleanField(db_default=False)
    owner_id = models.CharField(max_length=40)
    owner_label = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "run_views"
        constraints = [
            models.UniqueConstraint(
                fields=["owner_id", "name"], condition=Q(is_shared=False), name="run_view_own"
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(is_shared=True), name="run_view_shared"
            ),
        ]

    def __str__(self) -> str:
        return self.name
