"""Checkpoints on their way out of the database.

A row says for each sink how far it has come: what is behind is owed. Whoever copies takes the row
by moving its next try into the future, so no lock is held while somebody is called, and who dies
meanwhile is followed by the next try.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db.models import F, Max, Q

from apps.common.jobs import enqueue
from apps.tenants import keys
from apps.tenants.selectors import OrgRef, get_org
from apps.trust.gateways.sinks import Copy, Sink, SinkDiffers, SinkFailed, configured_sinks
from apps.trust.models import Checkpoint, CheckpointCopy

log = structlog.get_logger(__name__)

BATCH: Final = 100
LEASE: Final = timedelta(minutes=1)
RETRY_FIRST: Final = timedelta(seconds=5)
RETRY_MOST: Final = timedelta(hours=1)


def sweep_copies(at: datetime) -> None:
    """The sweeper's step: copies to what is near, and wakes a worker for what is far."""
    sinks = configured_sinks()
    owed = _owed(sinks, at) if sinks else set()
    near = [sink for sink in sinks if sink.is_local and sink.name in owed]
    for sink in near:
        _copy(sink, at)
    if owed - {sink.name for sink in near}:
        enqueue("trust.copy_checkpoints")


def copy_checkpoints(*, at: datetime) -> None:
    """Bring every sink what it is owed; one that fails keeps no other waiting."""
    for sink in configured_sinks():
        _copy(sink, at)


def _owed(sinks: list[Sink], at: datetime) -> set[str]:
    """The sinks that lack the newest checkpoint and may be tried now."""
    newest = Checkpoint.objects.aggregate(newest=Max("number"))["newest"] or 0
    done = CheckpointCopy.objects.filter(Q(number__gte=newest) | Q(next_try_at__gt=at))
    return {sink.name for sink in sinks} - set(done.values_list("sink", flat=True))


def _copy(sink: Sink, at: datetime) -> None:
    CheckpointCopy.objects.bulk_create([CheckpointCopy(sink=sink.name)], ignore_conflicts=True)
    rows = CheckpointCopy.objects.filter(sink=sink.name)
    if not rows.filter(_is_due(at)).update(next_try_at=at + LEASE):
        return
    row = rows.get()
    org = get_org(UUID(str(keys.current().org_id)))
    owed = Checkpoint.objects.filter(number__gt=row.number).order_by("number")[:BATCH]
    try:
        for checkpoint in owed:
            sink.put(_of(checkpoint, org))
            # Whoever took over when our time was up may have come further.
            rows.filter(number__lt=checkpoint.number).update(number=checkpoint.number, copied_at=at)
    except SinkFailed as error:
        _put_off(row, at, str(error), differs=isinstance(error, SinkDiffers))
    except Exception:  # noqa: BLE001 - a loop's edge
        log.exception("checkpoint.copy_failed", sink=sink.name)
        _put_off(row, at, "an error on our side, which is in the log of the server")
    else:
        rows.update(tries=0, next_try_at=None, failure="", differs=False)


def _put_off(row: CheckpointCopy, at: datetime, failure: str, *, differs: bool = False) -> None:
    doubled = min(row.tries, 10)  # bounded before it is counted: the tries have no end
    wait = min(RETRY_FIRST * 2**doubled, RETRY_MOST)
    CheckpointCopy.objects.filter(id=row.id).update(
        tries=F("tries") + 1,
        next_try_at=at + wait,
        failure=failure[:200],
        differs=row.differs or differs,
    )


def _is_due(at: datetime) -> Q:
    return Q(next_try_at=None) | Q(next_try_at__lte=at)


def _of(checkpoint: Checkpoint, org: OrgRef) -> Copy:
    return Copy(
        org=org.slug,
        org_id=str(org.id),
        schema=org.schema,
        number=checkpoint.number,
        month=checkpoint.at.strftime("%Y-%m"),
        note=checkpoint.note,
    )
