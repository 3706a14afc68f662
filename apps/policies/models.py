"""What an org has written about who may do what, where it counts, and every decision by it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django_fsm import FSMField, transition

from apps.common.actors import Actor, ActorType
from apps.common.fsm import StateModel, states_constraint
from apps.common.ids import uuid7
from apps.common.json import JsonDecoder
from apps.common.models import TenantModel

KEEP_INPUTS_DAYS: Final = 30
KEEP_INPUTS_MAX: Final = 3650


class DefaultAnswer(models.TextChoices):
    """What holds for a call that no policy is attached to."""

    ALLOW = "allow", "Allow it"
    DENY = "deny", "Deny it"


class PolicyHead(TenantModel):
    """Where an org's policies stand; one row an org.

    `bundle` counts everything that may change an answer: activation, retirement, attachment,
    shadows and these settings. Whoever changes one holds this row (FOR UPDATE) and counts it up, so
    that an admission that names the number it decided by is exact.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    bundle = models.PositiveIntegerField(default=1)
    default_answer = models.CharField(
        max_length=5, choices=DefaultAnswer.choices, db_default=DefaultAnswer.ALLOW.value
    )
    keep_inputs_days = models.PositiveIntegerField(default=KEEP_INPUTS_DAYS)
    two_person = models.BooleanField(
        default=False, help_text="whether a change of what decides needs a second person"
    )

    class Meta:
        db_table = "policy_heads"
        constraints = [
            models.UniqueConstraint(fields=["org_id"], name="policy_head_one_per_org"),
            states_constraint("default_answer", DefaultAnswer, name="policy_head_default"),
            models.CheckConstraint(
                condition=Q(keep_inputs_days__gte=1, keep_inputs_days__lte=KEEP_INPUTS_MAX),
                name="policy_head_keep_inputs",
            ),
        ]

    def __str__(self) -> str:
        return f"bundle {self.bundle}"


class Policy(TenantModel):
    """A policy through all its versions: what attachments and decisions point at.

    `name` is the newest version's. Never deleted; its end is `retired_at`.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField(default=1, help_text="its newest version's number")
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "policies"
        verbose_name_plural = "policies"
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="policy_newest"),
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(retired_at=None),
                name="policy_newest_live",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    TESTED = "tested", "Tested"
    ACTIVE = "active", "Active"
    RETIRED = "retired", "Retired"


class OrgPolicy(StateModel, TenantModel):
    """One version of a policy. What it says never changes (migration 0002); its status does.

    At most one version of a policy is active, and at most one is on its way there. `digest` is the
    SHA-256 of the Rego in hex. While `shadow_since` is set, what this version would have said is
    recorded beside what was decided.
    """

    app_grants: ClassVar = ("select", "insert", "update")
    OPEN: ClassVar = (PolicyStatus.DRAFT, PolicyStatus.TESTED)

    Status = PolicyStatus

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, related_name="versions", db_index=False
    )
    version = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    purpose = models.CharField(max_length=200, blank=True)
    rego_text = models.TextField()
    tests = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    status = FSMField(
        default=PolicyStatus.DRAFT, choices=PolicyStatus.choices, protected=True, max_length=10
    )
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    tested_at = models.DateTimeField(null=True, blank=True)
    shadow_since = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    activated_by = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "org_policies"
        verbose_name = "policy version"
        constraints = [
            models.UniqueConstraint(fields=["policy", "version"], name="org_policy_version"),
            models.UniqueConstraint(
                fields=["policy"], condition=Q(status="active"), name="org_policy_one_active"
            ),
            models.UniqueConstraint(
                fields=["policy"],
                condition=Q(status__in=["draft", "tested"]),
                name="org_policy_one_open",
            ),
            states_constraint("status", PolicyStatus, name="org_policy_status"),
            models.CheckConstraint(
                condition=Q(status="retired", retired_at__isnull=False)
                | ~Q(status="retired") & Q(retired_at=None),
                name="org_policy_retired_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="active") | Q(activated_at__isnull=False),
                name="org_policy_active_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(shadow_since=None) | Q(status__in=["draft", "tested"]),
                name="org_policy_shadow_is_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @transition(field=status, source=PolicyStatus.DRAFT, target=PolicyStatus.TESTED)
    def pass_tests(self, *, at: datetime) -> None:
        self.tested_at = at

    @transition(field=status, source=PolicyStatus.TESTED, target=PolicyStatus.ACTIVE)
    def activate(self, *, by_id: UUID | None, at: datetime) -> None:
        self.activated_by_id, self.activated_at = by_id, at
        self.shadow_since = None

    @transition(
        field=status,
        source=[PolicyStatus.DRAFT, PolicyStatus.TESTED, PolicyStatus.ACTIVE],
        target=PolicyStatus.RETIRED,
    )
    def retire(self, *, at: datetime) -> None:
        self.retired_at = at
        self.shadow_since = None


class Scope(models.TextChoices):
    """What a policy is attached to."""

    ORG = "org", "The whole organization"
    PROJECT = "project", "A project"
    AGENT = "agent", "An agent"
    TOOL = "tool", "A tool of an agent"


class Attachment(TenantModel):
    """A policy counts for every call within this."""

    app_grants: ClassVar = ("select", "insert", "delete")

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, related_name="attachments", db_index=False
    )
    scope = models.CharField(max_length=7, choices=Scope.choices, db_default=Scope.ORG.value)
    project = models.ForeignKey(
        "orgs.Project", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    tool = models.CharField(max_length=64, blank=True, db_default="")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "policy_attachments"
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "scope", "project", "agent", "tool"],
                nulls_distinct=False,
                name="policy_attachment_once",
            ),
            models.CheckConstraint(
                condition=Q(scope="org", project=None, agent=None, tool="")
                | Q(scope="project", project__isnull=False, agent=None, tool="")
                | Q(scope="agent", project=None, agent__isnull=False, tool="")
                | Q(scope="tool", project=None, agent__isnull=False) & ~Q(tool=""),
                name="policy_attachment_names_its_scope",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy_id} on {self.scope}"


class DecisionResult(models.TextChoices):
    ALLOW = "allow", "Allowed"
    DENY = "deny", "Denied"
    REQUIRE_APPROVAL = "require_approval", "Approval required"
    UNAVAILABLE = "unavailable", "Unavailable"


class Decision(TenantModel):
    """What the policies said of one call: written by `admit` with the run, and never changed.

    `policies` holds what each version said by itself, `shadows` what drafts would have said where
    that differs. `ordinal` is the step that asked, of a call within the run. `input_digest` is the
    SHA-256 of the canonical document (RFC 8785), which outlives the document.
    """

    append_only: ClassVar = True
    app_grants: ClassVar = ("select", "insert")

    run = models.ForeignKey("runs.Run", on_delete=models.PROTECT, related_name="+", db_index=False)
    ordinal = models.PositiveIntegerField(null=True, blank=True)
    agent_id = models.UUIDField()
    tool = models.CharField(max_length=64)
    action = models.CharField(max_length=20)
    result = models.CharField(
        max_length=16, choices=DecisionResult.choices, db_default=DecisionResult.DENY.value
    )
    reasons = models.JSONField(default=list)
    policies = models.JSONField(default=list)
    bundle = models.PositiveIntegerField()
    obligations = models.JSONField(default=dict)
    shadows = models.JSONField(null=True, blank=True)
    input_digest = models.BinaryField()
    micros = models.PositiveIntegerField()
    caller_type = models.CharField(max_length=20)
    caller_id = models.CharField(max_length=40)
    caller_label = models.CharField(max_length=200)
    at = models.DateTimeField()

    class Meta:
        db_table = "decisions"
        constraints = [states_constraint("result", DecisionResult, name="decision_result")]
        indexes = [
            models.Index(fields=["-at", "-id"], name="decision_newest"),
            models.Index(fields=["result", "-at", "-id"], name="decision_of_result"),
            models.Index(fields=["agent_id", "-at", "-id"], name="decision_of_agent"),
            models.Index(fields=["run", "-at", "-id"], name="decision_of_run"),
            models.Index(
                fields=["-at", "-id"],
                condition=Q(shadows__isnull=False),
                name="decision_with_shadows",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.result}"

    @property
    def caller(self) -> Actor:
        return Actor(ActorType(self.caller_type), self.caller_id, self.caller_label)


class DecisionInput(TenantModel):
    """The document that a decision was made of, masked; kept as long as the org wants."""

    app_grants: ClassVar = ("select", "insert", "delete")

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=RandomUUID(), editable=False)
    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="kept")
    document = models.JSONField(decoder=JsonDecoder)
    at = models.DateTimeField()

    class Meta:
        db_table = "decision_inputs"
        indexes = [models.Index(fields=["at"], name="decision_input_age")]

    def __str__(self) -> str:
        return str(self.decision_id)


class BacktestStatus(models.TextChoices):
    RUNNING = "running", "Running"
    DONE = "done", "Done"


class Backtest(TenantModel):
    """A text asked about calls that were decided already, the newest first, a part at a time.

    The row is the job: `reached_at` and `reached_id` are the last decision that was looked at, so
    whoever goes on begins exactly after it; `worked_at` is when that was. `changed` lists what
    would be decided otherwise, as far as it is worth reading; `changed_count` counts all of it.
    `without_input` had no document left, or another one. `tries` counts how often the engine had
    no answer about the next.
    """

    Status = BacktestStatus

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    rego_text = models.TextField()
    days = models.PositiveIntegerField()
    status = models.CharField(max_length=7, choices=Status.choices, db_default=Status.RUNNING.value)
    evaluated = models.PositiveIntegerField(default=0)
    without_input = models.PositiveIntegerField(default=0)
    changed = models.JSONField(default=list)
    changed_count = models.PositiveIntegerField(default=0)
    is_cut = models.BooleanField(default=False, help_text="older decisions were left out")
    reached_at = models.DateTimeField(null=True, blank=True)
    reached_id = models.UUIDField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    worked_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "policy_backtests"
        constraints = [
            states_constraint("status", BacktestStatus, name="policy_backtest_status"),
            models.CheckConstraint(
                condition=Q(status="done", finished_at__isnull=False)
                | Q(status="running", finished_at=None),
                name="policy_backtest_finished_iff_done",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="policy_backtest_newest"),
            models.Index(
                fields=["worked_at"],
                condition=Q(status="running"),
                name="policy_backtest_running",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.days} days, {self.status}"
