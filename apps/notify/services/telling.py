"""The one way to tell people something: rows in the transaction of what is told.

Mail and channels are served by jobs after the commit. What they owe stands in the rows, so a lost
wake-up costs a delay and a mail server that is down costs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import JSONObject

from apps.common.jobs import enqueue
from apps.common.redaction import redact_text
from apps.notify import kinds
from apps.notify.errors import NotifyMisuse
from apps.notify.models import (
    BODY_MAX,
    PATH_MAX,
    TITLE_MAX,
    Channel,
    Delivery,
    Digest,
    Notice,
    Preference,
)
from apps.orgs import selectors as orgs

DAILY_HOUR: Final = 7
"""When daily digests leave, in UTC."""
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told: members who have a permission, and members by their ids; never `without`, the
    one who did it, and never somebody who has left.

    The org's channels hear what is told by permission, and of what members are told by name only
    what is the `org`'s news: the rest is theirs alone.
    """

    permission: str = ""
    members: tuple[UUID, ...] = ()
    without: UUID | None = None
    org: bool = False

    def rows(self) -> QuerySet[Any]:
        named = orgs.list_members().filter(id__in=self.members)
        found = named | orgs.list_members_who_may(self.permission) if self.permission else named
        return found.exclude(id=self.without) if self.without else found


@dataclass(frozen=True, slots=True)
class News:
    """What is told, as the rows of notices and deliveries hold it."""

    kind: str
    title: str
    body: str
    path: str
    subject_type: str
    subject_id: str

    def checked(self) -> News:
        """One line, cut to what a row holds, and without what looks like a secret."""
        if not self.path.startswith("/") or self.path.startswith("//") or len(self.path) > PATH_MAX:
            raise NotifyMisuse(f"{self.path!r} is no page of the org's host")
        title = redact_text(" ".join(self.title.split()))
        return replace(
            self, title=_cut(title, TITLE_MAX), body=_cut(redact_text(self.body.strip()), BODY_MAX)
        )

    def as_fields(self, at: datetime) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "created_at": at}


@dataclass(frozen=True, slots=True)
class Reached:
    """A member who is told, and by which ways."""

    id: UUID
    bell: bool
    email: bool
    channels: bool
    every: str


def tell(
    *,
    kind: str,
    title: str,
    body: str,
    path: str,
    to: Audience,
    subject_type: str,
    subject_id: str,
    at: datetime,
) -> int:
    """Tell an audience what happened, in the transaction in which it does; how many are told.

    `path` is the page about it. The org's channels hear what is the org's, if they take its kind.
    Call it before the audit event: that is the last lock. Raises KeyError for a kind that isn't
    registered, NotifyMisuse outside a transaction.
    """
    if not connection.in_atomic_block:
        raise NotifyMisuse("a notice belongs into the transaction of what it tells")
    found = kinds.get_kind(kind)
    news = News(kind, title, body, path, subject_type, subject_id).checked()
    reached = list(_reach(to, found))
    _write_notices(news, reached, at)
    hears = Q(member_id__in=[member.id for member in reached if member.channels])
    _owe_deliveries(news, hears | Q(member=None) if to.org or to.permission else hears, at)
    return len(reached)


def next_digest(every: str, at: datetime) -> datetime | None:
    """When the first digest after `at` leaves: on the hour, or every day at 07:00 UTC."""
    if every == Digest.Every.HOURLY:
        return at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    if every == Digest.Every.DAILY:
        today = at.replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
        return today if today > at else today + timedelta(days=1)
    return None


def schedule_digests(members: Iterable[UUID], at: datetime) -> None:
    """Have those gather whose next digest isn't due yet."""
    times = (When(every=every, then=next_digest(every, at)) for every in ("hourly", "daily"))
    Digest.objects.filter(member_id__in=members, due_at=None).update(due_at=Case(*times))


def _reach(to: Audience, kind: kinds.Kind) -> Iterable[Reached]:
    """The audience with what each of them chose; one query."""
    ways = Preference.objects.filter(member=OuterRef("pk"), kind=kind.code)
    chosen = ways.values(json=JSONObject(bell="bell", email="email", channels="channels"))
    every = Digest.objects.filter(member=OuterRef("pk")).values("every")
    rows = to.rows().annotate(chosen=Subquery(chosen[:1]), every=Subquery(every[:1]))
    presumed = {"bell": kind.bell, "email": kind.email, "channels": kind.channels}
    for member_id, ways_, often in rows.values_list("id", "chosen", "every").order_by("id"):
        reached = Reached(member_id, **(ways_ or presumed), every=often or Digest.Every.OFF)
        yield replace(reached, bell=True) if kind.always else reached


def _write_notices(news: News, reached: list[Reached], at: datetime) -> None:
    """A row for each who is told by bell or mail, and the mail's wake-up."""
    told = [_notice(news, member, at) for member in reached if member.bell or member.email]
    Notice.objects.bulk_create(told, batch_size=_BATCH)
    gathered = [row.member_id for row in told if row.mail == Notice.Mail.DIGEST]
    if gathered:
        schedule_digests(gathered, at)
    if any(row.mail == Notice.Mail.OWED for row in told):
        enqueue("notify.send_mails")


def _notice(news: News, member: Reached, at: datetime) -> Notice:
    mail = Notice.Mail.NONE
    if member.email:
        at_once = member.every == Digest.Every.OFF
        mail = Notice.Mail.OWED if at_once else Notice.Mail.DIGEST
    return Notice(
        member_id=member.id,
        in_inbox=member.bell,
        mail=mail,
        mail_next_at=at if mail == Notice.Mail.OWED else None,
        **news.as_fields(at),
    )


def _owe_deliveries(news: News, hears: Q, at: datetime) -> None:
    """A row and a wake-up for each of these channels that takes this."""
    takes = Q(kinds=[]) | Q(kinds__contains=[news.kind])
    places = Channel.objects.filter(hears, takes, state=Channel.State.ACTIVE)
    owed = [owe(channel_id, news, at) for channel_id in places.values_list("id", flat=True)]
    Delivery.objects.bulk_create(owed, batch_size=_BATCH)
    for row in owed:
        enqueue("notify.deliver", delivery_id=str(row.id))


def owe(channel_id: UUID, news: News, at: datetime) -> Delivery:
    """A delivery that is due at once; not yet written."""
    return Delivery(channel_id=channel_id, next_try_at=at, **news.as_fields(at))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
