"""What is on record of a run that is over and of a decision, as the text whose digest they left.

The SQL that left it (migrations/sql/0005_leaves.sql) writes the text anew, so the two can't differ
unless the row does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db import connection

# What a run had cost and used when it left an older leaf stands beside that one; the newest has to
# say what the row says now.
_RUNS: Final = """
select l.id, run_record(r, case
    when exists (select from trust_leaf n where n.subject_id = l.subject_id and n.kind = l.kind
                   and (n.xid, n.id) > (l.xid, l.id)) then l.aside
    else l.aside || jsonb_build_object('cost_micros', r.cost_micros, 'usage', r.usage) end)
from trust_leaf l join runs r on r.id = l.subject_id where l.id = any(%s)
"""
_DECISIONS: Final = """
select l.id, decision_record(d) from trust_leaf l join decisions d on d.id = l.subject_id
where l.id = any(%s)
"""
_UNLEFT_RUNS: Final = """
select r.id from (select id, finished_at from runs order by created_at desc, id desc limit %s) r
where r.finished_at is not null
  and not exists (select from trust_leaf l where l.subject_id = r.id and l.kind = 'run')
"""
_UNLEFT_DECISIONS: Final = """
select d.id from (select id from decisions order by at desc, id desc limit %s) d
where not exists (select from trust_leaf l where l.subject_id = d.id and l.kind = 'decision')
"""


def tell_runs(leaves: Sequence[UUID]) -> dict[UUID, str]:
    return dict(_rows(_RUNS, list(leaves)))


def tell_decisions(leaves: Sequence[UUID]) -> dict[UUID, str]:
    return dict(_rows(_DECISIONS, list(leaves)))


def find_unleft_runs(limit: int) -> list[UUID]:
    return [row[0] for row in _rows(_UNLEFT_RUNS, limit)]


def find_unleft_decisions(limit: int) -> list[UUID]:
    return [row[0] for row in _rows(_UNLEFT_DECISIONS, limit)]


def _rows(statement: str, value: list[UUID] | int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [value])
        return list(cursor.fetchall())
