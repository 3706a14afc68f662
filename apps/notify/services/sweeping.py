"""The sweeper's step: wakes what is owed and still here, and erases what has had its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Min, Q, QuerySet

from apps.common.jobs import enqueue
from apps.notify.models import Delivery, Digest, Notice
from apps.notify.services.pauses import PATIENCE
from apps.notify.services.telling import schedule_digests
from apps.tenants import keys
from apps.tenants.services import activity

READ_KEPT: Final = timedelta(days=90)
UNREAD_KEPT: Final = timedelta(days=365)
DELIVERIES_KEPT: Final = timedelta(days=30)
_BATCH: Final = 100
_ERASED: Final = 1000


def sweep_notices(at: datetime) -> None:
    """Send what a lost wake-up left behind or a pause put off, have digests leave, and erase."""
    _gather(at)
    _wake(at)
    _erase(at)
    _come_back()


def _gather(at: datetime) -> None:
    """Find the digest of what was told while it left, or while its member turned it off: what had
    not been committed then, nobody saw.
    """
    waiting = Notice.objects.filter(mail=Notice.Mail.DIGEST)
    idle = Digest.objects.filter(due_at=None, member_id__in=waiting.values("member_id"))
    found = dict(idle.values_list("member_id", "every"))
    if not found:
        return
    at_once = [member for member, every in found.items() if every == Digest.Every.OFF]
    waiting.filter(member_id__in=at_once).update(mail=Notice.Mail.OWED, mail_next_at=at)
    schedule_digests(found.keys() - set(at_once), at)


def _wake(at: datetime) -> None:
    late = at - PATIENCE
    if Notice.objects.filter(mail=Notice.Mail.OWED, mail_next_at__lte=late).exists():
        enqueue("notify.send_mails")
    owed = Delivery.objects.filter(state=Delivery.State.OWED, next_try_at__lte=late)
    for delivery_id in owed.order_by("next_try_at").values_list("id", flat=True)[:_BATCH]:
        enqueue("notify.deliver", delivery_id=str(delivery_id))
    due = Digest.objects.filter(due_at__lte=at)
    for digest_id in due.order_by("due_at").values_list("id", flat=True)[:_BATCH]:
        enqueue("notify.send_digest", digest_id=str(digest_id))


def _erase(at: datetime) -> None:
    """Forget a batch of what is old: read notices, those that nobody ever read, deliveries. Where
    there is more, the next visit comes soon.
    """
    old = Q(read_at__lt=at - READ_KEPT) | Q(created_at__lt=at - UNREAD_KEPT)
    deliveries = Delivery.objects.filter(settled_at__lt=at - DELIVERIES_KEPT)
    erased = [_delete(Notice.objects.filter(old)), _delete(deliveries)]
    if max(erased) == _ERASED:
        activity.due_again(at=at)


def _delete(rows: QuerySet[Any]) -> int:
    """Delete a batch; how many there were."""
    if batch := list(rows.values_list("pk", flat=True)[:_ERASED]):
        rows.model._default_manager.filter(pk__in=batch).delete()
    return len(batch)


def _come_back() -> None:
    """Have the org visited when the next thing is due, however quiet it is until then."""
    times = (
        Notice.objects.filter(mail=Notice.Mail.OWED).aggregate(at=Min("mail_next_at")),
        Delivery.objects.filter(state=Delivery.State.OWED).aggregate(at=Min("next_try_at")),
        Digest.objects.aggregate(at=Min("due_at")),
    )
    found = [row["at"] for row in times if row["at"] is not None]
    org_id = keys.current().org_id
    if found and org_id is not None:
        activity.due_at(org_id=org_id, at=min(found) + PATIENCE)
