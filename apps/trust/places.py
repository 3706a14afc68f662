"""What stands in the tree where something should stand: for checks of many, by one query each.

Whoever was taken in by which checkpoint, and so its place, follows from the checkpoints; of its
tile no more is read than the one hash there.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

from apps.trust.leaves import hash_of_event, hash_of_leaf
from apps.trust.merkle import HASH, WIDTH

# Of the hash at a place: where its tile is, and where it stands there.
_FOUND: Final = f"""
substring(t.hashes from (mod(p.place, {WIDTH}) * {HASH} + 1)::int for {HASH})
from placed p left join trust_tile t on t.level = 0 and t.index = p.place / {WIDTH}
"""
_EVENTS: Final = f"""
with placed as materialized (
  select e.seq, e.hash, c.size_before + e.seq - c.seq_from - 1 as place
  from audit_events e cross join lateral (
    select size_before, seq_from from trust_checkpoint
    where seq_to >= e.seq order by seq_to, number limit 1) c
  where e.seq between %s and %s)
select p.seq, p.hash, {_FOUND}
"""  # noqa: S608 - numbers of ours
# Whatever lies in the span of a checkpoint counts, not only what is new: one that slipped in later
# has moved the others.
_LEAVES: Final = f"""
with taken as materialized (
  select distinct c.* from (select xid from trust_leaf order by id desc limit %s) l
  cross join lateral (
    select number, size_before + seq_to - seq_from as first, xid_from, xid_to from trust_checkpoint
    where xid_to > l.xid order by xid_to, number limit 1) c),
placed as materialized (
  select l.kind, l.subject_id, l.digest, c.first - 1
    + row_number() over (partition by c.number order by l.xid, l.id) as place
  from taken c join trust_leaf l on l.xid >= c.xid_from and l.xid < c.xid_to)
select p.kind, p.subject_id, p.digest, {_FOUND}
"""  # noqa: S608 - numbers of ours


def misplaced_events(first: int, last: int) -> list[int]:
    """The numbers of sealed events that the tree doesn't have at their places, in order."""
    rows = _rows(_EVENTS, first, last)
    return sorted(seq for seq, value, found in rows if hash_of_event(bytes(value)) != _bytes(found))


def misplaced_records(limit: int) -> list[str]:
    """The same of the newest leaves, as many, and of those that were sealed along with them."""
    return [
        f"{kind} {subject_id}"
        for kind, subject_id, digest, found in _rows(_LEAVES, limit)
        if hash_of_leaf(kind=kind, subject_id=subject_id, digest=bytes(digest)) != _bytes(found)
    ]


def _bytes(found: bytes | memoryview | None) -> bytes:
    return bytes(found or b"")


def _rows(statement: str, *values: int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
