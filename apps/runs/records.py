"""What is on record of a run that is over and of a decision, as the text whose digest they left.

The SQL that left it (migrations/sql/0005_leaves.sql) writes the text anew, so the two can't differ
unless the row does.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connection

_RUN: Final = "select run_record(r) from runs r where r.id = %s and r.finished_at is not null"
_DECISION: Final = "select decision_record(d) from decisions d where d.id = %s"


def tell_run(run_id: UUID) -> str | None:
    return _tell(_RUN, run_id)


def tell_decision(decision_id: UUID) -> str | None:
    return _tell(_DECISION, decision_id)


def _tell(statement: str, row_id: UUID) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [row_id])
        row = cursor.fetchone()
    return str(row[0]) if row else None
