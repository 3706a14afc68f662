"""What an org can prove and what it must hide: signing keys, the audit chain, sealed secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel
from apps.common.models import TenantModel
from apps.trust.canonical import JsonObject
from apps.trust.log_models import Checkpoint as Checkpoint
from apps.trust.log_models import CheckpointCopy as CheckpointCopy
from apps.trust.log_models import Leaf as Leaf
from apps.trust.log_models import LogRetention as LogRetention
from apps.trust.log_models import Tile as Tile


class SigningKey(StateModel, TenantModel):
    """A key the org signs with, from its announcement to its end.

    Published from the start, so that verifiers know it before it signs alone. The private part
    exists only while the key may sign: stepping down destroys it, so a retired key can't leak.
    """

    class State(models.TextChoices):
        NEXT = "next", "Next"
        ACTIVE = "active", "Active"
        VERIFY_ONLY = "verify_only", "Verify only"
        REVOKED = "revoked", "Revoked"

    SIGNING: ClassVar = (State.NEXT, State.ACTIVE)
    PUBLISHED: ClassVar = (State.NEXT, State.ACTIVE, State.VERIFY_ONLY)

    kid = models.CharField(max_length=43, help_text="RFC 7638 thumbprint, base64url")
    public_jwk = models.JSONField()
    secret_ref = models.CharField(max_length=200, blank=True)
    state = FSMField(default=State.NEXT, choices=State.choices, protected=True, max_length=12)
    created_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "signing_keys"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "kid"], name="signing_key_kid"),
            models.UniqueConstraint(
                fields=["org_id"], condition=Q(state="active"), name="signing_key_one_active"
            ),
            models.UniqueConstraint(
                fields=["org_id"], condition=Q(state="next"), name="signing_key_one_next"
            ),
            models.CheckConstraint(
                condition=(
                    Q(state="next", activated_at=None, retired_at=None, revoked_at=None)
                    | Q(
                        state="active", activated_at__isnull=False, retired_at=None, revoked_at=None
                    )
                    | Q(state="verify_only", retired_at__isnull=False, revoked_at=None)
                    | Q(state="revoked", revoked_at__isnull=False)
                ),
                name="signing_key_state_has_its_time",
            ),
            models.CheckConstraint(
                condition=(
                    (Q(state__in=("next", "active")) & ~Q(secret_ref=""))
                    | (Q(state__in=("verify_only", "revoked")) & Q(secret_ref=""))
                ),
                name="signing_key_private_iff_it_signs",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kid} ({self.state})"

    @transition(field=state, source=State.NEXT, target=State.ACTIVE)
    def activate(self, *, at: datetime) -> None:
        self.activated_at = at

    @transition(field=state, source=State.ACTIVE, target=State.VERIFY_ONLY)
    def retire(self, *, at: datetime) -> None:
        self.retired_at = at
        self.secret_ref = ""

    @transition(
        field=state, source=[State.NEXT, State.ACTIVE, State.VERIFY_ONLY], target=State.REVOKED
    )
    def revoke(self, *, at: datetime) -> None:
        self.revoked_at = at
        self.secret_ref = ""


class DataKey(TenantModel):
    """The org's one data key, wrapped by the master key `master_key_id`."""

    master_key_id = models.CharField(max_length=16)
    nonce = models.BinaryField()
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "data_keys"
        constraints = [
            models.UniqueConstraint(fields=["org_id"], name="data_key_one_per_org"),
        ]

    def __str__(self) -> str:
        return f"data key under {self.master_key_id}"


class SealedSecret(TenantModel):
    """One version of a secret, sealed to (org, ref, version)."""

    ref = models.CharField(max_length=200)
    version = models.PositiveIntegerField()
    data_key = models.ForeignKey(DataKey, on_delete=models.PROTECT, related_name="+")
    nonce = models.BinaryField()
    ciphertext = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "sealed_secrets"
        constraints = [
            models.UniqueConstraint(
                fields=["org_id", "ref", "version"], name="sealed_secret_version"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} v{self.version}"


class AuditEvent(TenantModel):
    """One administrative act, chained to the one before it.

    `body` is the canonical JSON of the other columns and is what the chain covers; `seq`, `prev`
    and `hash` are set by the database alone (migration 0002), whatever an INSERT says. What is
    older than the org keeps it is emptied by the owner's login, which can do nothing else to a row
    (migration 0005); its place and its hash stay, and so does all that hangs on them.
    """

    append_only: ClassVar = True
    app_grants: ClassVar = ("select", "insert")

    seq = models.BigIntegerField(db_default=0, editable=False)
    at = models.DateTimeField()
    actor_type = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=100)
    actor_label = models.CharField(max_length=200)
    action = models.CharField(max_length=100)
    subject_type = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=100)
    detail = models.JSONField()
    body = models.TextField()
    prev = models.BinaryField(db_default=b"", editable=False)
    hash = models.BinaryField(db_default=b"", editable=False)

    class Meta:
        db_table = "audit_events"
        constraints = [models.UniqueConstraint(fields=["org_id", "seq"], name="audit_event_seq")]
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "-seq"], name="audit_event_subject"),
            models.Index(fields=["action", "-seq"], name="audit_event_action"),
            models.Index(fields=["actor_id", "-seq"], name="audit_event_actor"),
            models.Index(fields=["subject_id", "-seq"], name="audit_event_of"),
            models.Index(fields=["at", "seq"], name="audit_event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action} by {self.actor_label}"

    @property
    def is_erased(self) -> bool:
        """Whether what happened was erased, by the org's retention; only its place is left."""
        return not self.body

    def describe(self) -> JsonObject:
        """Say in one document what happened, from the columns.

        It names its org, so that no two chains can be exchanged.
        """
        return {
            "org": str(self.org_id),
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": {"type": self.actor_type, "id": self.actor_id, "label": self.actor_label},
            "action": self.action,
            "subject": {"type": self.subject_type, "id": self.subject_id},
            "detail": self.detail,
        }


class AuditHead(TenantModel):
    """Where the chain stands; its row lock is what puts the events in order.

    The last lock that any transaction takes. Written by the chain's trigger only.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    seq = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        db_table = "audit_head"
        constraints = [models.UniqueConstraint(fields=["org_id"], name="audit_head_one_per_org")]

    def __str__(self) -> str:
        return f"head at {self.seq}"


class RefusalTally(TenantModel):
    """How often a principal ran into a rule since that was last put on record."""

    principal = models.CharField(max_length=130)
    rule = models.CharField(max_length=100)
    actor = models.JSONField()
    recorded_at = models.DateTimeField(null=True, blank=True)
    unrecorded = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "audit_refusals"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "principal", "rule"], name="refusal_tally"),
        ]

    def __str__(self) -> str:
        return f"{self.principal} refused by {self.rule}"
