"""What an org has registered: its agents, what each offers, and who may call whom."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel, states_constraint
from apps.common.json import Object
from apps.common.models import TenantModel


def any_object() -> Object:
    """The JSON Schema of a tool that takes or gives any object."""
    return {"type": "object"}


class AgentStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    RETIRED = "retired", "Retired"


class AuthRequirement(models.TextChoices):
    """Who may call a capability, beside what roles and grants allow."""

    ANY = "any", "People, keys and granted agents"
    PERSON = "person", "People and their keys only"
    AGENT = "agent", "Granted agents only"


class Agent(StateModel, TenantModel):
    """Somebody that does work: of which kind, for whom, and whether it may.

    `version` counts all changes (the ETag of who edits it); `manifest` is the frozen list of what
    it offers now. Never deleted: runs and manifests point at it, so its end is `retired`.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    Status = AgentStatus

    project = models.ForeignKey("orgs.Project", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=80)
    slug = models.CharField(max_length=40)
    purpose = models.CharField(max_length=500, blank=True)
    accountable = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, related_name="+", help_text="who answers for it"
    )
    status = FSMField(
        default=AgentStatus.DRAFT,
        choices=AgentStatus.choices,
        protected=True,
        max_length=10,
    )
    status_note = models.CharField(
        max_length=200, blank=True, help_text="why it was stopped, for those who find it so"
    )
    runtime = models.CharField(max_length=20)
    config = models.JSONField(default=dict)
    timeout_seconds = models.PositiveIntegerField(default=60)
    version = models.PositiveIntegerField(default=1)
    manifest = models.ForeignKey(
        "Manifest", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "agents"
        constraints = [
            models.UniqueConstraint(
                fields=["org_id", "slug"], condition=~Q(status="retired"), name="agent_slug"
            ),
            states_constraint("status", AgentStatus, name="agent_status"),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="agent_newest"),
            models.Index(fields=["status", "-created_at", "-id"], name="agent_of_status"),
            models.Index(fields=["project", "-created_at", "-id"], name="agent_of_project"),
        ]

    def __str__(self) -> str:
        return self.slug

    @transition(
        field=status, source=[AgentStatus.DRAFT, AgentStatus.SUSPENDED], target=AgentStatus.ACTIVE
    )
    def activate(self) -> None:
        self.status_note = ""

    @transition(field=status, source=AgentStatus.ACTIVE, target=AgentStatus.SUSPENDED)
    def suspend(self, *, note: str) -> None:
        self.status_note = note

    @transition(
        field=status,
        source=[AgentStatus.DRAFT, AgentStatus.ACTIVE, AgentStatus.SUSPENDED],
        target=AgentStatus.RETIRED,
    )
    def retire(self) -> None:
        self.status_note = ""


class Capability(TenantModel):
    """One thing that an agent offers; called a tool by whoever calls it."""

    Auth = AuthRequirement

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="capabilities")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=1000)
    input_schema = models.JSONField(default=any_object)
    output_schema = models.JSONField(default=any_object)
    read_only = models.BooleanField(default=False)
    destructive = models.BooleanField(default=True)
    idempotent = models.BooleanField(default=False)
    open_world = models.BooleanField(default=True)
    auth = models.CharField(
        max_length=10,
        choices=AuthRequirement.choices,
        default=AuthRequirement.ANY,
        db_default=AuthRequirement.ANY.value,
    )
    price_micros = models.BigIntegerField(default=0)

    class Meta:
        db_table = "capabilities"
        verbose_name_plural = "capabilities"
        constraints = [
            models.UniqueConstraint(fields=["agent", "name"], name="capability_name"),
            models.CheckConstraint(
                condition=Q(price_micros__gte=0), name="capability_price_is_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(read_only=False) | Q(destructive=False),
                name="capability_that_reads_destroys_nothing",
            ),
            states_constraint("auth", AuthRequirement, name="capability_auth"),
        ]

    def __str__(self) -> str:
        return self.name


class Manifest(TenantModel):
    """What an agent was at one moment, frozen: every run points at the one it ran under.

    `digest` is the SHA-256 of the document's canonical form (RFC 8785), in hex.
    """

    app_grants: ClassVar = ("select", "insert")

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="manifests")
    version = models.PositiveIntegerField()
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "a2a_manifests"
        constraints = [
            models.UniqueConstraint(fields=["agent", "version"], name="manifest_version")
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} v{self.version}"


class Grant(TenantModel):
    """Agent `caller` may call these tools of agent `callee`; without one no agent calls another.

    `tools` are names, or `["*"]` for all there are and will be. A revoked grant stays on record.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    caller = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+")
    callee = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="grants")
    tools = models.JSONField()
    active = models.BooleanField(default=True, db_default=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey("orgs.Member", on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "grants"
        constraints = [
            models.UniqueConstraint(
                fields=["caller", "callee"], condition=Q(active=True), name="grant_one_active"
            ),
            models.CheckConstraint(
                condition=~Q(caller=F("callee")), name="grant_between_two_agents"
            ),
            models.CheckConstraint(
                condition=Q(active=True, revoked_at=None)
                | Q(active=False, revoked_at__isnull=False),
                name="grant_active_until_revoked",
            ),
        ]
        indexes = [
            models.Index(fields=["callee", "-created_at", "-id"], name="grant_of_callee"),
        ]

    def __str__(self) -> str:
        return f"{self.caller_id} may call {self.callee_id}"


class ProviderKind(models.TextChoices):
    """Which API a provider of language models speaks."""

    OPENAI = "openai", "OpenAI-compatible"
    ANTHROPIC = "anthropic", "Anthropic"


class ModelProvider(TenantModel):
    """Somebody who runs language models for the org. Its key is in the secret store alone.

    `key_hint` is the end of the key, by which people tell one from another; of a short key it is
    empty. Agents name their provider by `name`, which is for good.
    """

    Kind = ProviderKind

    name = models.CharField(max_length=40)
    kind = models.CharField(
        max_length=10, choices=ProviderKind.choices, db_default=ProviderKind.OPENAI.value
    )
    base_url = models.CharField(max_length=500)
    key_hint = models.CharField(max_length=10, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "model_providers"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "name"], name="model_provider_name"),
            states_constraint("kind", ProviderKind, name="model_provider_kind"),
        ]

    def __str__(self) -> str:
        return self.name


class ModelPrice(TenantModel):
    """What the org pays for a model's tokens, in micro-USD a million; it goes before the list."""

    model = models.CharField(max_length=120)
    input_micros = models.BigIntegerField()
    output_micros = models.BigIntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "model_prices"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "model"], name="model_price_model"),
            models.CheckConstraint(
                condition=Q(input_micros__gte=0, output_micros__gte=0),
                name="model_price_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.model
