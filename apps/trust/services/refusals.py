"""Refused administrative calls: on record, yet not a way to flood the audit log.

Of a principal's refusals by one rule the first is an audit event at once; those of the following
minute are counted, and the next event says how many there were.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from apps.common.actors import Actor
from apps.trust.models import AuditEvent, RefusalTally
from apps.trust.services.audit import record_event

INTERVAL: Final = timedelta(minutes=1)
_ACTION: Final = "trust.call.refused"


def record_refusal(*, actor: Actor, rule: str, at: datetime) -> AuditEvent | None:
    """Count a refusal, and put it on record if this principal's last by this rule was a minute ago.

    `rule` names what refused: a permission, a limit, a state. Call it where the refusal is
    answered, after the refused transaction has ended: inside it the record would be rolled back
    too. Returns None if the refusal was only counted.
    """
    with transaction.atomic():
        tally = _lock_tally(actor, rule)
        tally.unrecorded += 1
        event = _record(tally, actor, at) if _is_due(tally, at) else None
        tally.save(update_fields=["unrecorded", "recorded_at", "actor"])
        return event


def record_tallies(*, at: datetime, limit: int = 100) -> int:
    """Put on record what was counted and then never followed by another refusal.

    For the sweeper, once a minute; returns how many events it wrote, at most `limit`.
    """
    due = Q(unrecorded__gt=0, recorded_at__lte=at - INTERVAL)
    with transaction.atomic():
        tallies = RefusalTally.objects.select_for_update(skip_locked=True).filter(due)
        chosen = list(tallies.order_by("id")[:limit])
        for tally in chosen:
            _record(tally, Actor(**tally.actor), at)
            tally.save(update_fields=["unrecorded", "recorded_at"])
    return len(chosen)


def sweep_tallies(at: datetime) -> None:
    """The sweeper's step of the same."""
    record_tallies(at=at)


def _lock_tally(actor: Actor, rule: str) -> RefusalTally:
    tally = RefusalTally(principal=actor.principal, rule=rule, actor=actor.as_json())
    RefusalTally.objects.bulk_create([tally], ignore_conflicts=True)
    return RefusalTally.objects.select_for_update().get(principal=actor.principal, rule=rule)


def _is_due(tally: RefusalTally, at: datetime) -> bool:
    return tally.recorded_at is None or at - tally.recorded_at >= INTERVAL


def _record(tally: RefusalTally, actor: Actor, at: datetime) -> AuditEvent:
    count, tally.unrecorded = tally.unrecorded, 0
    tally.recorded_at, tally.actor = at, actor.as_json()
    return record_event(
        actor=actor,
        action=_ACTION,
        subject_type="rule",
        subject_id=tally.rule,
        detail={"count": count},
        at=at,
    )
