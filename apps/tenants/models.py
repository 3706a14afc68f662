"""What stands once for all orgs: the orgs, their people, and who may enter where.

Nothing in here says what an org's members do inside it: roles and everything else are the org's own
rows, behind its keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django_fsm import FSMField, transition
from django_tenants.models import DomainMixin, TenantMixin

from apps.common.fsm import StateModel
from apps.common.ids import uuid7


class UserManager(BaseUserManager["User"]):
    """Makes people; an address counts in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Deactivated and blanked rather than deleted: orgs' records name them for good."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=120)
    org_wish = models.CharField(
        max_length=80, blank=True, help_text="the org to make once the address is verified"
    )
    time_zone = models.CharField(
        max_length=40, default="UTC", help_text="what times are written in for this person"
    )
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="operator: may enter /admin/")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_once")]

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.partition(" ")[0]


class Plan(models.Model):
    """How much an org may have; no limit means as much as it likes. New orgs get the default."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    member_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="open invitations count too; empty: no limit"
    )
    agent_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="all that aren't retired; empty: no limit"
    )
    is_default = models.BooleanField(default=False, editable=False)

    class Meta:
        db_table = "tenants_plan"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="plan_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Org(StateModel, TenantMixin):  # type: ignore[misc, django-manager-missing]
    """A tenant and the state of its schema. Its slug is its host and never changes."""

    class State(models.TextChoices):
        PROVISIONING = "provisioning", "Provisioning"
        ACTIVE = "active", "Active"
        FAILED = "failed", "Provisioning failed"
        SUSPENDED = "suspended", "Suspended"
        CLOSING = "closing", "Closing"
        ERASED = "erased", "Erased"

    auto_create_schema = False

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=40, unique=True)
    schema_name = models.CharField(max_length=63, unique=True, editable=False)
    schema_version = models.CharField(max_length=16, blank=True, editable=False)
    state = FSMField(
        default=State.PROVISIONING, choices=State.choices, protected=True, max_length=12
    )
    failure = models.CharField(max_length=300, blank=True, editable=False)
    owner = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+", help_text="who asked for it"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="orgs")
    created_at = models.DateTimeField(editable=False)
    erase_at = models.DateTimeField(null=True, blank=True, editable=False)
    host = models.CharField(
        max_length=253, blank=True, editable=False, help_text="where links lead, if not to its own"
    )

    class Meta:
        db_table = "tenants_org"
        indexes = [
            models.Index(fields=["state", "erase_at"], name="org_state_erase"),
            models.Index(fields=["schema_version"], name="org_schema_version"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["closing"], erase_at__isnull=False)
                | (~Q(state="closing") & Q(erase_at=None)),
                name="org_erase_at_iff_closing",
            )
        ]

    def __str__(self) -> str:
        return self.slug

    @transition(field=state, source=State.PROVISIONING, target=State.ACTIVE)
    def become_ready(self) -> None:
        self.failure = ""

    @transition(field=state, source=State.PROVISIONING, target=State.FAILED)
    def fail(self, *, why: str) -> None:
        self.failure = why[:300]

    @transition(field=state, source=State.FAILED, target=State.PROVISIONING)
    def retry(self) -> None:
        self.failure = ""

    @transition(field=state, source=State.ACTIVE, target=State.SUSPENDED)
    def suspend(self) -> None: ...

    @transition(field=state, source=State.SUSPENDED, target=State.ACTIVE)
    def resume(self) -> None: ...

    @transition(field=state, source=State.ACTIVE, target=State.CLOSING)
    def close(self, *, erase_at: datetime) -> None:
        self.erase_at = erase_at

    @transition(field=state, source=State.CLOSING, target=State.ACTIVE)
    def reopen(self) -> None:
        self.erase_at = None

    @transition(field=state, source=State.CLOSING, target=State.ERASED)
    def erase(self) -> None:
        """Only the slug stays, so that nobody else ever answers on the org's host."""
        self.erase_at = None
        self.name = "Erased"
        self.host = ""
        self.owner = None


class Domain(DomainMixin):  # type: ignore[misc]
    """A host that leads to an org: `<slug>.<apex host>`, and each that it has proved to be its own.

    The one that is primary is `Org.host` too, so that who reads an org knows where links lead.
    """

    tenant = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="domains")

    class Meta:
        db_table = "tenants_domain"


class MailDomain(models.Model):
    """A mail domain that one org has proved to be its own."""

    domain = models.CharField(max_length=253, primary_key=True)
    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "tenants_mail_domain"

    def __str__(self) -> str:
        return self.domain


class Membership(models.Model):
    """This person may enter this org. What they may do there is the org's own `Member` row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="memberships")
    created_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "tenants_membership"
        constraints = [models.UniqueConstraint(fields=["user", "org"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.org_id}"


class KeyIndex(models.Model):
    """Which org an API key belongs to: all that the apex has to know of it."""

    key_hash = models.BinaryField(primary_key=True, max_length=32)
    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "tenants_key_index"
        verbose_name_plural = "key indexes"

    def __str__(self) -> str:
        return f"a key of {self.org_id}"


class InvitationIndex(models.Model):
    """Which org an invitation's link belongs to, for the page on the apex that accepts it."""

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="+")
    email = models.EmailField(max_length=254)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "tenants_invitation_index"
        indexes = [models.Index(Lower("email"), name="invitation_index_email")]

    def __str__(self) -> str:
        return f"an invitation to {self.org_id}"


class Session(AbstractBaseSession):
    """A browser's session on one host. Those on org hosts end with the one on the apex."""

    org = models.ForeignKey(Org, null=True, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    via = models.CharField(max_length=80, blank=True, help_text="password, sso:<id>, …")
    mfa_at = models.DateTimeField(null=True)
    impersonator = models.ForeignKey(
        User,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="the operator who looks through this member's eyes",
    )
    host = models.CharField(
        max_length=253, blank=True, help_text="the host that the org brought, if it is for one"
    )

    class Meta:
        db_table = "tenants_session"
        indexes = [
            models.Index(fields=["host"], condition=~Q(host=""), name="session_host_brought")
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(impersonator=None) | Q(parent__isnull=False),
                name="session_of_an_impersonator_has_a_parent",
            ),
            models.CheckConstraint(
                condition=Q(org=None, parent=None) | Q(org__isnull=False, parent__isnull=False),
                name="session_of_an_org_has_a_parent",
            ),
        ]

    @classmethod
    def get_session_store_class(cls) -> Any:
        from apps.tenants.sessions import SessionStore

        return SessionStore


class Ticket(models.Model):
    """A signed-in member's way from the apex to an org's host: once, within a minute.

    An operator's way is for the member as whom they look, and says why and until when.
    """

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    nonce_hash = models.BinaryField(max_length=32)
    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    parent = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+")
    host = models.CharField(max_length=253, blank=True)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)
    impersonation = models.JSONField(null=True)

    class Meta:
        db_table = "tenants_ticket"

    def __str__(self) -> str:
        return f"a way into {self.org_id}"


class OrgActivity(models.Model):
    """When an org last wrote, and when it next needs a visit: whom the sweepers look after."""

    org = models.OneToOneField(Org, primary_key=True, on_delete=models.CASCADE, related_name="+")
    last_write_at = models.DateTimeField(db_index=True)
    next_due_at = models.DateTimeField(null=True, db_index=True)
    visited_at = models.DateTimeField(null=True, db_index=True)

    class Meta:
        db_table = "tenants_org_activity"
        verbose_name_plural = "org activity"

    def __str__(self) -> str:
        return f"{self.org_id} at {self.last_write_at:%F %T}"


class OrgStats(models.Model):
    """What operators see of an org in their list, as it was at `counted_at`.

    Counted at the sweeper's visits, so that no page of theirs opens hundreds of schemas.
    """

    org = models.OneToOneField(
        Org, primary_key=True, on_delete=models.CASCADE, related_name="stats"
    )
    members = models.PositiveIntegerField()
    runs_in_a_day = models.PositiveIntegerField(help_text="counted no further than 10,000")
    last_run_at = models.DateTimeField(null=True)
    waiting_since = models.DateTimeField(null=True, help_text="when its oldest queued run came")
    counted_at = models.DateTimeField()

    class Meta:
        db_table = "tenants_org_stats"
        verbose_name_plural = "org stats"

    def __str__(self) -> str:
        return f"{self.org_id} at {self.counted_at:%F %T}"
