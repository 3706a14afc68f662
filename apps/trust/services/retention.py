"""How long an org keeps what its audit events say, and the end of that.

Erasing empties the oldest events and leaves their numbers and hashes: the chain, the tree and every
proof hold as before. It is put on record first, with the last event that is given up, so that an
event which is empty beyond that record was emptied by somebody else. Only the owner's login may
empty them; it is the provisioner's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from apps.common.actors import SYSTEM, Actor
from apps.common.errors import Invalid
from apps.common.jobs import enqueue
from apps.tenants.schemas import OWNER
from apps.trust.models import AuditEvent, LogRetention
from apps.trust.selectors import ERASED
from apps.trust.services.audit import record_event

EVERY: Final = timedelta(days=1)
_EMPTY: Final = {
    **dict.fromkeys(("actor_type", "actor_id", "actor_label", "action"), ""),
    **dict.fromkeys(("subject_type", "subject_id", "body"), ""),
    "detail": {},
}


def get_retention() -> LogRetention:
    """The org's rule; an unsaved one, that keeps everything, if it never made any."""
    return LogRetention.objects.first() or LogRetention(keep_days=None, erased_to=0)


def set_retention(*, keep_days: int | None, actor: Actor, at: datetime) -> LogRetention:
    """Keep what events say for so many days from now on, or for ever (None).

    What was erased stays so. Raises Invalid outside LEAST_DAYS to MOST_DAYS.
    """
    least, most = LogRetention.LEAST_DAYS, LogRetention.MOST_DAYS
    if keep_days is not None and not least <= keep_days <= most:
        raise Invalid.of("keep_days", f"Use {least} to {most} days.")
    with transaction.atomic():
        LogRetention.objects.bulk_create([LogRetention()], ignore_conflicts=True)
        row = LogRetention.objects.select_for_update().get()
        was, row.keep_days, row.looked_at = row.keep_days, keep_days, None
        if was == keep_days:
            return row
        row.save(update_fields=["keep_days", "looked_at"])
        record_event(
            actor=actor,
            action="trust.audit_retention.changed",
            subject_type="audit_retention",
            subject_id="audit",
            old={"keep_days": was},
            new={"keep_days": keep_days},
            at=at,
        )
    return row


def sweep_retention(at: datetime) -> None:
    """The sweeper's step: once a day it has the provisioner erase what is too old."""
    is_due = Q(looked_at=None) | Q(looked_at__lt=at - EVERY)
    if LogRetention.objects.filter(is_due, keep_days__isnull=False).update(looked_at=at):
        enqueue("trust.erase_audit")


def erase_old(*, at: datetime) -> int:
    """Put on record how far the org's retention reaches now, then empty the events up to there.

    Cut off in between it goes on where it was. Returns how many events were emptied.
    """
    with transaction.atomic():
        row = LogRetention.objects.select_for_update().filter(keep_days__isnull=False).first()
        if row is None:
            return 0
        through = _last_too_old(row, at - timedelta(days=row.keep_days or 0))
        if through > row.erased_to:
            row.erased_to = through
            row.save(update_fields=["erased_to"])
            _record(row, at)
    return _empty(row.erased_to)


def _last_too_old(row: LogRetention, limit: datetime) -> int:
    """The last event before the first that is young enough; the newest is never given up."""
    rest = AuditEvent.objects.filter(seq__gt=row.erased_to).order_by("seq")
    kept = rest.filter(at__gte=limit).values_list("seq", flat=True).first()
    newest = rest.values_list("seq", flat=True).last()
    if newest is None:
        return row.erased_to
    return (newest if kept is None else kept) - 1


def _record(row: LogRetention, at: datetime) -> None:
    record_event(
        actor=SYSTEM,
        action=ERASED,
        subject_type="audit",
        subject_id="audit",
        detail={"through": row.erased_to, "keep_days": row.keep_days},
        at=at,
    )


def _empty(through: int) -> int:
    """One statement, all or nothing: if the last of them is empty, so are all before it."""
    rows = AuditEvent.objects.using(OWNER).filter(seq__lte=through).exclude(body="")
    if not rows.filter(seq=through).exists():
        return 0
    return rows.update(**_EMPTY)
