"""Domains that an org says are its own: hosts to work at, and domains of its people's mail.

The row says what was asked, proved and seen. That a host leads to the org, or whose a mail domain
is, the apex's own rows say (`tenants.services.hosts`): they exist exactly while this one is
verified.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import models
from django.db.models import Q
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel
from apps.common.models import TenantModel
from apps.tenants import domains as names

CHECKED_EVERY: Final = timedelta(days=1)
TRIED_AGAIN: Final = timedelta(hours=1)
LAPSES_AFTER: Final = timedelta(days=3)


class OrgDomain(StateModel, TenantModel):
    """A host or mail domain, and whether the org has proved that it is its own.

    `check_asked_at` is set while a look-up is owed: the row is the job, and the sweeper sees to it.
    """

    class Kind(models.TextChoices):
        HOST = names.HOST, "Host"
        MAIL = names.MAIL, "Mail domain"

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        VERIFIED = "verified", "Verified"
        LAPSED = "lapsed", "Lapsed"

    class Outcome(models.TextChoices):
        """What the last look-up saw; only the first three say anything about the record."""

        FOUND = "found", "The record is there"
        MISSING = "missing", "There is no such record"
        DIFFERENT = "different", "There is a record with another value"
        UNREACHABLE = "unreachable", "No name server answered"
        TAKEN = "taken", "The record is there, but another organization uses the domain"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=253)
    challenge = models.CharField(max_length=64)
    state = FSMField(default=State.PENDING, choices=State.choices, protected=True, max_length=10)
    is_primary = models.BooleanField(default=False)
    added_by = models.ForeignKey("orgs.Member", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    verified_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=11, choices=Outcome.choices, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    check_asked_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "orgs"
        db_table = "org_domains"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "verified", "lapsed"]), name="org_domain_state"
            ),
            models.CheckConstraint(condition=Q(kind__in=["host", "mail"]), name="org_domain_kind"),
            models.UniqueConstraint(fields=["org_id", "kind", "name"], name="org_domain_once"),
            models.UniqueConstraint(
                fields=["org_id"], condition=Q(is_primary=True), name="org_domain_one_primary"
            ),
            models.CheckConstraint(
                condition=Q(is_primary=False) | Q(kind="host", state="verified"),
                name="org_domain_primary_is_a_verified_host",
            ),
            models.CheckConstraint(
                condition=Q(state="verified", verified_at__isnull=False)
                | (~Q(state="verified") & Q(failing_since=None, next_check_at=None)),
                name="org_domain_checked_while_verified",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="org_domain_newest"),
            models.Index(fields=["next_check_at"], name="org_domain_due"),
            models.Index(fields=["check_asked_at"], name="org_domain_asked"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"

    @property
    def is_host(self) -> bool:
        return self.kind == self.Kind.HOST

    @property
    def is_verified(self) -> bool:
        return str(self.state) == self.State.VERIFIED

    @property
    def record_name(self) -> str:
        return names.record_name(self.kind, self.name)

    @property
    def record_value(self) -> str:
        return names.record_value(self.challenge)

    @property
    def lapses_at(self) -> datetime | None:
        """When it stops counting, unless its record is seen again."""
        return self.failing_since + LAPSES_AFTER if self.failing_since else None

    def is_due(self, *, at: datetime) -> bool:
        """Whether a look-up is owed."""
        is_late = self.next_check_at is not None and self.next_check_at <= at
        return self.check_asked_at is not None or is_late

    @transition(field=state, source=[State.PENDING, State.LAPSED], target=State.VERIFIED)
    def verify(self, *, at: datetime) -> None:
        self.verified_at = at

    @transition(field=state, source=State.VERIFIED, target=State.LAPSED)
    def lapse(self) -> None:
        self.is_primary = False
        self.failing_since = self.next_check_at = None
