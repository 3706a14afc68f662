"""The sealer: takes what is new on record into the org's tree and signs its head.

One at a time for an org, by an advisory lock. No commit is passed over, however late it comes: a
seal takes the leaves of transactions older than the oldest that still runs, and those are finished
for ever; audit events have no gaps by their own chain. So the place of everything follows from the
checkpoints, and no row a leaf is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from apps.tenants import keys
from apps.tenants.selectors import get_org
from apps.trust.entries import newest_checkpoint
from apps.trust.errors import LogDisplaced
from apps.trust.leaves import hash_of_event, hash_of_leaf
from apps.trust.models import AuditEvent, Checkpoint
from apps.trust.note import Head, origin_of, sign
from apps.trust.services.keys import get_signers
from apps.trust.tree import keep, open_tree

BATCH: Final = 20_000
"""Audit events, and leaves, that one seal takes: what waits longer is taken by the next."""

_IS_NEW: Final = """
select exists (select from audit_events where seq > coalesce(max(c.seq_to), 0))
    or exists (select from trust_leaf where xid >= coalesce(max(c.xid_to), 0))
from (select seq_to, xid_to from trust_checkpoint order by number desc limit 1) c
"""
_LOCK: Final = "select pg_try_advisory_xact_lock(hashtextextended('trust.seal ' || %s, 0))"
_EDGE: Final = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_LEAVES: Final = """
select xid, kind, subject_id, digest from trust_leaf
where xid >= %s and xid < %s order by xid, id limit %s
"""

Line = tuple[int, str, UUID, bytes]


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a seal takes in: the hashes of its leaves, and where the next one goes on."""

    hashes: list[bytes]
    seq_to: int
    xid_to: int


def seal(*, at: datetime, batch: int = BATCH) -> Checkpoint | None:
    """Take in what is new and sign the head.

    Returns None if there is nothing that can be taken yet, or another sealer is at work. Raises
    NoSigningKey, and LogDisplaced where transactions are counted from before the last seal.
    """
    with transaction.atomic():
        if not _is_ours():
            return None
        last = newest_checkpoint()
        taken = _take(last, batch)
        if not taken.hashes:
            return None
        return _write(last, taken, at)


def sweep_seal(at: datetime) -> None:
    """The sweeper's step: seals until nothing waits, or a while if there is that much."""
    for _ in range(5):
        if not _value(_IS_NEW) or seal(at=at) is None:
            return


def _is_ours() -> bool:
    return bool(_value(_LOCK, str(keys.current().org_id)))


def oldest_running() -> int:
    """The oldest transaction of the whole cluster that may still commit."""
    return int(_value(_EDGE))


def _take(last: Checkpoint, batch: int) -> _Taken:
    # The edge comes first: what is older than it is there for every later look.
    edge = oldest_running()
    if edge < last.xid_to:
        raise LogDisplaced
    events = list(
        AuditEvent.objects.filter(seq__gt=last.seq_to)
        .order_by("seq")
        .values_list("seq", "hash")[:batch]
    )
    lines, xid_to = _whole_transactions(last.xid_to, edge, batch)
    return _Taken(
        hashes=[hash_of_event(bytes(value)) for _, value in events]
        + [hash_of_leaf(kind=k, subject_id=s, digest=bytes(d)) for _, k, s, d in lines],
        seq_to=events[-1][0] if events else last.seq_to,
        xid_to=xid_to,
    )


def _whole_transactions(start: int, edge: int, batch: int) -> tuple[Sequence[Line], int]:
    """The next leaves up to the edge, and where they end; never a part of one transaction's."""
    lines = _rows(_LEAVES, start, edge, batch)
    if len(lines) < batch:
        return lines, edge
    last = lines[-1][0]
    if whole := [line for line in lines if line[0] < last]:
        return whole, last
    return _rows(_LEAVES, start, last + 1, None), last + 1


def _write(last: Checkpoint, taken: _Taken, at: datetime) -> Checkpoint:
    tree = open_tree(last.size)
    tree.append(taken.hashes)
    keep(tree.changed)
    org = get_org(UUID(str(keys.current().org_id)))
    head = Head(origin_of(org.slug, org.id), tree.size, tree.root())
    return Checkpoint.objects.create(
        number=last.number + 1,
        at=at,
        size_before=last.size,
        size=head.size,
        seq_from=last.seq_to,
        seq_to=taken.seq_to,
        xid_from=last.xid_to,
        xid_to=taken.xid_to,
        root=head.root,
        note=sign(head, signers=get_signers()),
    )


def _value(statement: str, *values: str) -> Any:
    return _rows(statement, *values)[0][0]


def _rows(statement: str, *values: int | str | None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
