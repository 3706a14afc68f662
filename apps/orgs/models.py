"""What an org is made of: its projects, its people and their roles, and the keys to its API."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel
from apps.common.models import TenantModel
from apps.orgs.domain_models import OrgDomain as OrgDomain


class Project(TenantModel):
    """What work is grouped by. `version` counts its changes: the ETag of who edits it."""

    name = models.CharField(max_length=80)
    slug = models.CharField(max_length=40)
    tags = models.JSONField(default=list)
    version = models.PositiveIntegerField(default=1)
    is_default = models.BooleanField(default=False, help_text="takes what names no project")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "projects"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "slug"], name="project_slug"),
            models.UniqueConstraint(
                fields=["org_id"], condition=Q(is_default=True), name="project_one_default"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(archived_at=None),
                name="project_default_is_not_archived",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="project_newest"),
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(archived_at=None),
                name="project_newest_live",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Permission(TenantModel):
    """One thing that may be allowed; the codes are the product's (apps.orgs.permissions)."""

    code = models.CharField(max_length=50)
    description = models.CharField(max_length=120)

    class Meta:
        db_table = "permissions"
        constraints = [models.UniqueConstraint(fields=["org_id", "code"], name="permission_code")]

    def __str__(self) -> str:
        return self.code


class Role(TenantModel):
    """A named set of permissions; the built-in ones are the same in every org.

    One of the org's own that is deleted keeps its row, without permissions: past members and the
    audit log name it. Its slug is never given again; its name is free. `version` counts changes.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    slug = models.CharField(max_length=40)
    name = models.CharField(max_length=60)
    description = models.CharField(max_length=200, blank=True, default="", db_default="")
    rank = models.PositiveSmallIntegerField(help_text="the order in which roles are listed")
    built_in = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1, db_default=1)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "roles"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "slug"], name="role_slug"),
            models.UniqueConstraint(
                "org_id", Lower("name"), condition=Q(deleted_at=None), name="role_name"
            ),
            models.CheckConstraint(
                condition=Q(built_in=False) | Q(deleted_at=None), name="role_built_in_stays"
            ),
        ]
        indexes = [models.Index(fields=["rank", "id"], name="role_rank")]

    def __str__(self) -> str:
        return self.slug


class RolePermission(TenantModel):
    """This role has this permission."""

    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="grants")
    permission = models.ForeignKey(Permission, on_delete=models.PROTECT, related_name="+")

    class Meta:
        db_table = "role_permissions"
        constraints = [
            models.UniqueConstraint(fields=["role", "permission"], name="role_permission_once")
        ]

    def __str__(self) -> str:
        return f"{self.role_id} may {self.permission_id}"


class Member(TenantModel):
    """A person in this org. Never deleted: everything they did points here.

    `user_id` names the shared account without a foreign key (an org's rows point at no shared
    table); name and address are copies, kept when the account is blanked.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    user_id = models.UUIDField()
    label = models.CharField(max_length=120)
    email = models.EmailField(max_length=254)
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="members")
    groups = models.JSONField(default=list, db_default=[], help_text="sorted; policies go by them")
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "members"
        constraints = [models.UniqueConstraint(fields=["org_id", "user_id"], name="member_user")]
        indexes = [
            models.Index(fields=["joined_at", "id"], name="member_joined"),
            models.Index(
                fields=["joined_at", "id"], condition=Q(left_at=None), name="member_joined_live"
            ),
            models.Index(Lower("email"), name="member_email"),
        ]

    def __str__(self) -> str:
        return self.label


class Invitation(StateModel, TenantModel):
    """A way into the org, sent by mail. Only the hash of its link's token is kept.

    The row is the job: until `sent_at` is set the mail is owed, and the sweeper sees to it.
    Whoever sends sets `next_try_at` first: nobody else sends meanwhile, and a mail server that
    refuses for days is asked ever more rarely.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        ACCEPTED = "accepted", "Accepted"
        REVOKED = "revoked", "Revoked"
        EXPIRED = "expired", "Expired"

    email = models.EmailField(max_length=254)
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="+")
    token_hash = models.BinaryField(null=True, editable=False)
    invited_by = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    state = FSMField(default=State.PENDING, choices=State.choices, protected=True, max_length=10)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        Member, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        db_table = "invitations"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "accepted", "revoked", "expired"]),
                name="invitation_state",
            ),
            models.UniqueConstraint(
                "org_id", Lower("email"), condition=Q(state="pending"), name="invitation_one_open"
            ),
            models.UniqueConstraint(fields=["org_id", "token_hash"], name="invitation_token"),
            models.CheckConstraint(
                condition=Q(state="accepted", accepted_by__isnull=False)
                | (~Q(state="accepted") & Q(accepted_by=None)),
                name="invitation_accepted_by_someone",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="invitation_newest"),
            models.Index(fields=["state", "expires_at"], name="invitation_due"),
        ]

    def __str__(self) -> str:
        return f"{self.email} ({self.state})"

    @transition(field=state, source=State.PENDING, target=State.ACCEPTED)
    def accept(self, *, by: Member) -> None:
        self.accepted_by = by
        self.token_hash = None

    @transition(field=state, source=State.PENDING, target=State.REVOKED)
    def revoke(self) -> None:
        self.token_hash = None

    @transition(field=state, source=State.PENDING, target=State.EXPIRED)
    def expire(self) -> None:
        self.token_hash = None


class ApiKey(TenantModel):
    """A program's credential: acts as its owner, within its scopes. Only its hash is kept.

    With an `agent` it acts as that agent, and may no more than the member who made it. A replaced
    key works until `grace_until`; a revoked one is kept for the record and opens nothing.
    """

    app_grants: ClassVar = ("select", "insert", "update")

    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, help_text="how the token begins, to tell keys apart")
    key_hash = models.BinaryField(help_text="SHA-256 of the whole token", editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="keys")
    agent = models.ForeignKey(
        "agents.Agent",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    rotated_from = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="successor"
    )
    grace_until = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_keys"
        constraints = [models.UniqueConstraint(fields=["org_id", "key_hash"], name="api_key_hash")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="api_key_newest"),
            models.Index(fields=["member", "-created_at", "-id"], name="api_key_of_member"),
            models.Index(
                fields=["agent", "-created_at", "-id"],
                condition=Q(agent__isnull=False),
                name="api_key_of_agent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.prefix}…"

    @property
    def ends_at(self) -> datetime | None:
        """When it stops working by itself: its expiry or the end of its grace."""
        return min((t for t in (self.expires_at, self.grace_until) if t), default=None)

    def status_at(self, at: datetime) -> str:
        """`active`, `replaced` (still works, within its grace), `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        if self.ends_at and self.ends_at <= at:
            return "expired"
        return "replaced" if self.grace_until else "active"


class IdempotencyRecord(TenantModel):
    """The answer to a POST that carried an Idempotency-Key, so that a repeat gets the same one.

    Written in the commit of the request's own effects. The body is sealed: an answer may hold a
    token that exists nowhere else. `open` and `refused` are for work that outlasts its request.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    principal = models.CharField(max_length=130)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(help_text="SHA-256 of method, path and body")
    state = models.CharField(
        max_length=8, choices=State.choices, default=State.DONE, db_default=State.DONE.value
    )
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    nonce = models.BinaryField()
    sealed_body = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_records"
        constraints = [
            models.UniqueConstraint(
                fields=["org_id", "principal", "key"], name="idempotency_record_key"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "done", "refused"]), name="idempotency_record_state"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_record_age")]

    def __str__(self) -> str:
        return f"{self.principal} {self.key}"
