"""What waits for people: requests for approval, the votes on them, and who must approve what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel, states_constraint
from apps.common.json import JsonDecoder
from apps.common.models import TenantModel


class Clock(Func):
    """What time it is in Postgres, which decides what is in time; not when a transaction began."""

    function = "clock_timestamp"
    arity = 0
    output_field = models.DateTimeField()


class ApprovalRule(TenantModel):
    """Who must approve what: how many, of which role, and for how long it may wait.

    It asks for nothing by itself; it says how a request is answered that a policy or a sensitive
    action made. Empty columns mean any. Requests keep what their rule said when they were made, so
    a rule changes for those that come; one that is removed stays on record.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    subject_type = models.CharField(max_length=40, blank=True)
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    tool = models.CharField(max_length=64, blank=True)
    project = models.ForeignKey(
        "orgs.Project", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    quorum = models.PositiveSmallIntegerField(default=1)
    role = models.ForeignKey(
        "orgs.Role", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    timeout_minutes = models.PositiveIntegerField()
    created_by = models.ForeignKey("orgs.Member", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "approval_rules"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_type", "agent", "tool", "project"],
                condition=Q(removed_at=None),
                nulls_distinct=False,
                name="approval_rule_once",
            ),
            models.CheckConstraint(
                condition=Q(agent=None) | Q(project=None), name="approval_rule_one_scope"
            ),
            models.CheckConstraint(
                condition=Q(tool="") | Q(agent__isnull=False), name="approval_rule_tool_of_agent"
            ),
            models.CheckConstraint(
                condition=Q(quorum__gte=1, quorum__lte=20), name="approval_rule_quorum"
            ),
            models.CheckConstraint(
                condition=Q(timeout_minutes__gte=1), name="approval_rule_timeout"
            ),
        ]
        indexes = [
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(removed_at=None),
                name="approval_rule_newest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quorum} for {self.subject_type or 'anything'}"


class ApprovalStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    CONSUMED = "consumed", "Used"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    CANCELLED = "cancelled", "Cancelled"


class Approval(StateModel, TenantModel):
    """A question to people: may exactly this happen, once, until then?

    Bound to what was asked: `payload` by its digest (SHA-256 over RFC 8785), the version of the
    policies that asked, the manifest. `barred` are the members behind the request, who can't
    decide it: the votes carry it along by a foreign key, and the database compares (migration
    0002). `tell_at` is set while its subject is still to be told what became of it: the row is the
    job, and the sweeper sees to it.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    Status = ApprovalStatus
    OPEN: ClassVar = (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)

    subject_type = models.CharField(max_length=40)
    subject_id = models.UUIDField()
    title = models.CharField(max_length=200)
    payload = models.JSONField(decoder=JsonDecoder)
    payload_digest = models.BinaryField()
    policy_version = models.IntegerField(null=True)
    manifest_digest = models.CharField(max_length=64, blank=True)
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    tool = models.CharField(max_length=64, blank=True)
    project = models.ForeignKey(
        "orgs.Project", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    requester_type = models.CharField(max_length=20)
    requester_id = models.CharField(max_length=100)
    requester_label = models.CharField(max_length=200)
    human = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    barred = ArrayField(models.UUIDField(), default=list)
    reasons = models.JSONField(default=list)
    evidence = models.JSONField(default=dict, decoder=JsonDecoder)
    rule = models.ForeignKey(
        ApprovalRule, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    quorum = models.PositiveSmallIntegerField()
    role = models.ForeignKey(
        "orgs.Role", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    status = FSMField(
        default=ApprovalStatus.PENDING,
        choices=ApprovalStatus.choices,
        protected=True,
        max_length=10,
    )
    approver = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    glass_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    tell_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "approvals"
        constraints = [
            states_constraint("status", ApprovalStatus, name="approval_status"),
            models.CheckConstraint(
                condition=Q(status="pending", decided_at=None)
                | ~Q(status="pending") & Q(decided_at__isnull=False),
                name="approval_decided_iff_not_pending",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "approved"], ended_at=None)
                | ~Q(status__in=["pending", "approved"]) & Q(ended_at__isnull=False),
                name="approval_ended_iff_closed",
            ),
            models.CheckConstraint(
                condition=Q(status="pending", approver=None)
                | Q(status__in=["approved", "consumed", "rejected"], approver__isnull=False)
                | Q(status__in=["expired", "cancelled"]),
                name="approval_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("created_at")), name="approval_lasts"
            ),
            models.CheckConstraint(condition=Q(quorum__gte=1), name="approval_quorum"),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="approval_newest"),
            models.Index(fields=["status", "-created_at", "-id"], name="approval_of_status"),
            models.Index(fields=["subject_type", "subject_id"], name="approval_of_subject"),
            models.Index(fields=["subject_type", "-created_at", "-id"], name="approval_of_kind"),
            models.Index(fields=["human", "-created_at", "-id"], name="approval_of_human"),
            models.Index(
                fields=["-created_at", "-id"],
                condition=~Q(status="pending"),
                name="approval_decided_newest",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status__in=["pending", "approved"]),
                name="approval_due",
            ),
            models.Index(
                fields=["tell_at"], condition=Q(tell_at__isnull=False), name="approval_untold"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.status})"

    @property
    def digest(self) -> str:
        """The payload's digest in hex."""
        return bytes(self.payload_digest).hex()

    @property
    def is_pending(self) -> bool:
        return str(self.status) == ApprovalStatus.PENDING

    @transition(field=status, source=ApprovalStatus.PENDING, target=ApprovalStatus.APPROVED)
    def approve(self, *, by_id: Any, at: datetime, glass_reason: str = "") -> None:
        self.approver_id = by_id
        self.glass_reason = glass_reason
        self.decided_at = self.tell_at = at

    @transition(field=status, source=ApprovalStatus.APPROVED, target=ApprovalStatus.CONSUMED)
    def consume(self, *, at: datetime) -> None:
        self.ended_at = at

    @transition(field=status, source=ApprovalStatus.PENDING, target=ApprovalStatus.REJECTED)
    def reject(self, *, by_id: Any, at: datetime) -> None:
        self.approver_id = by_id
        self.decided_at = self.ended_at = self.tell_at = at

    @transition(field=status, source=list(OPEN), target=ApprovalStatus.EXPIRED)
    def expire(self, *, at: datetime) -> None:
        self._end_unused(at)

    @transition(field=status, source=list(OPEN), target=ApprovalStatus.CANCELLED)
    def cancel(self, *, at: datetime) -> None:
        self._end_unused(at)

    def _end_unused(self, at: datetime) -> None:
        self.decided_at = self.decided_at or at
        self.ended_at = self.tell_at = at


class Verdict(models.TextChoices):
    APPROVE = "approve", "Approved"
    REJECT = "reject", "Rejected"


class Vote(TenantModel):
    """What one member said to a request, once and for good.

    `barred` is the request's own, which a foreign key sees to; so a check can compare (migration
    0002), and not even a mistake in our code lets somebody decide what they asked for.
    """

    append_only: ClassVar = True
    app_grants: ClassVar = ("select", "insert")

    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="votes")
    member = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    barred = ArrayField(models.UUIDField())
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    comment = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "approval_votes"
        constraints = [
            models.UniqueConstraint(fields=["approval", "member"], name="approval_vote_once"),
            states_constraint("verdict", Verdict, name="approval_vote_verdict"),
        ]

    def __str__(self) -> str:
        return f"{self.member_id} {self.verdict}"
