"""What people are told, by which ways, and the places outside that it goes to.

Rows are their own outbox: a notice whose mail is owed, a delivery that is owed, are the jobs.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel
from apps.common.models import TenantModel

TITLE_MAX = 200
BODY_MAX = 2000
PATH_MAX = 300
ERROR_MAX = 200


class Notice(TenantModel):
    """One thing that one member was told. `path` is the page that it is about.

    Whoever mails it sets `mail_next_at` first: nobody else does meanwhile, and a mail server that
    refuses for hours is asked ever more rarely.
    """

    class Mail(models.TextChoices):
        NONE = "none", "Not wanted"
        OWED = "owed", "Owed"
        DIGEST = "digest", "Waits for the digest"
        SENT = "sent", "Sent"
        FAILED = "failed", "Given up"

    member = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=60)
    title = models.CharField(max_length=TITLE_MAX)
    body = models.TextField(max_length=BODY_MAX, blank=True)
    path = models.CharField(max_length=PATH_MAX)
    subject_type = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=100)
    in_inbox = models.BooleanField(default=True, help_text="whether the bell counts it")
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)
    mail = models.CharField(
        max_length=8, choices=Mail.choices, default=Mail.NONE, db_default=Mail.NONE.value
    )
    mail_tries = models.PositiveSmallIntegerField(default=0)
    mail_next_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notices"
        constraints = [
            models.CheckConstraint(
                condition=Q(mail__in=["none", "owed", "digest", "sent", "failed"]),
                name="notice_mail",
            ),
            models.CheckConstraint(
                condition=Q(mail="owed", mail_next_at__isnull=False)
                | (~Q(mail="owed") & Q(mail_next_at=None)),
                name="notice_owed_has_its_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["member", "-created_at", "-id"],
                condition=Q(in_inbox=True),
                name="notice_inbox",
            ),
            models.Index(
                fields=["member", "-created_at", "-id"],
                condition=Q(in_inbox=True, read_at=None),
                name="notice_unread",
            ),
            models.Index(fields=["mail_next_at"], condition=Q(mail="owed"), name="notice_owed"),
            models.Index(
                fields=["member", "created_at"], condition=Q(mail="digest"), name="notice_digest"
            ),
            models.Index(
                fields=["read_at"], condition=Q(read_at__isnull=False), name="notice_read"
            ),
            models.Index(fields=["created_at"], name="notice_age"),
        ]

    def __str__(self) -> str:
        return self.title


class Channel(StateModel, TenantModel):
    """A place outside that notices go to: the org's, or one member's own.

    Its address is a secret (it opens the place to whoever has it), so it lies in the secret store
    and `hint` is all that is shown of it. Too many failures in a row, for too long, and it is
    paused: nothing else suffers from a place that is gone.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"

    name = models.CharField(max_length=80)
    member = models.ForeignKey(
        "orgs.Member",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    service = models.CharField(max_length=20)
    hint = models.CharField(max_length=8, blank=True)
    kinds = models.JSONField(default=list, help_text="codes that go there; none means all")
    state = FSMField(default=State.ACTIVE, choices=State.choices, protected=True, max_length=8)
    failures = models.PositiveSmallIntegerField(default=0, help_text="in a row")
    failing_since = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=ERROR_MAX, blank=True)
    last_sent_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("orgs.Member", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "channels"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["active", "paused"]), name="channel_state"
            ),
            models.CheckConstraint(
                condition=Q(state="paused", paused_at__isnull=False)
                | Q(state="active", paused_at=None),
                name="channel_paused_iff_at",
            ),
            models.UniqueConstraint(
                fields=["org_id", "member", "name"], name="channel_name", nulls_distinct=False
            ),
        ]
        indexes = [models.Index(fields=["member", "-created_at", "-id"], name="channel_of_member")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_orgs(self) -> bool:
        return self.member_id is None

    @transition(field=state, source=State.ACTIVE, target=State.PAUSED)
    def pause(self, *, at: datetime) -> None:
        self.paused_at = at

    @transition(field=state, source=State.PAUSED, target=State.ACTIVE)
    def resume(self) -> None:
        self.paused_at = self.failing_since = None
        self.failures = 0


class Delivery(TenantModel):
    """One message to one channel, until it has arrived or was given up.

    It says all that is sent, so that it needs no notice: an org's channel hears what no member
    has in the inbox.
    """

    class State(models.TextChoices):
        OWED = "owed", "Owed"
        SENT = "sent", "Sent"
        FAILED = "failed", "Given up"
        DROPPED = "dropped", "Dropped: the channel was paused"

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=60)
    title = models.CharField(max_length=TITLE_MAX)
    body = models.TextField(max_length=BODY_MAX, blank=True)
    path = models.CharField(max_length=PATH_MAX)
    subject_type = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    state = models.CharField(
        max_length=8, choices=State.choices, default=State.OWED, db_default=State.OWED.value
    )
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    settled_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=ERROR_MAX, blank=True)

    class Meta:
        db_table = "channel_deliveries"
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["owed", "sent", "failed", "dropped"]), name="delivery_state"
            ),
            models.CheckConstraint(
                condition=Q(state="owed", next_try_at__isnull=False, settled_at=None)
                | (~Q(state="owed") & Q(next_try_at=None, settled_at__isnull=False)),
                name="delivery_owed_or_settled",
            ),
        ]
        indexes = [
            models.Index(fields=["channel", "-created_at", "-id"], name="delivery_of_channel"),
            models.Index(fields=["next_try_at"], condition=Q(state="owed"), name="delivery_owed"),
            models.Index(
                fields=["settled_at"],
                condition=Q(settled_at__isnull=False),
                name="delivery_settled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"


class Preference(TenantModel):
    """The ways that a member chose for one kind; without a row the kind's own ways count."""

    member = models.ForeignKey(
        "orgs.Member", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=60)
    bell = models.BooleanField()
    email = models.BooleanField()
    channels = models.BooleanField()

    class Meta:
        db_table = "notice_preferences"
        constraints = [
            models.UniqueConstraint(fields=["member", "kind"], name="notice_preference_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.member_id}"


class Digest(TenantModel):
    """Whether a member gets mail at once or gathered, and when the next gathered one is due."""

    class Every(models.TextChoices):
        OFF = "off", "At once"
        HOURLY = "hourly", "Gathered, every hour"
        DAILY = "daily", "Gathered, every day"

    member = models.OneToOneField("orgs.Member", on_delete=models.PROTECT, related_name="+")
    every = models.CharField(
        max_length=6, choices=Every.choices, default=Every.OFF, db_default=Every.OFF.value
    )
    due_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        db_table = "notice_digests"
        constraints = [
            models.CheckConstraint(
                condition=Q(every__in=["off", "hourly", "daily"]), name="notice_digest_every"
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], condition=Q(due_at__isnull=False), name="notice_digest_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.every} of {self.member_id}"
