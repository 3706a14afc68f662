"""What nothing of the product can do: changes by who rules the database, undone with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

TAMPER = """
create function public.tamper(statement text) returns bigint
language plpgsql security definer set session_replication_role = replica as $$
declare hit bigint;
begin
  execute statement;
  get diagnostics hit = row_count;
  return hit;
end $$
"""


@pytest.fixture
def as_superuser(org: Any, admin_cursor: Any) -> Iterator[Callable[[str], int]]:
    """Run what no role of the product may run, inside the test's own transaction.

    Gives the number of rows that were hit; what it did is rolled back with the test.
    """
    from django.db import connection

    def run(statement: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute("select public.tamper(%s)", [statement])
            hit: int = cursor.fetchone()[0]
            return hit

    admin_cursor.execute(TAMPER)
    yield run
    admin_cursor.execute("drop function public.tamper")


@pytest.fixture
def rewrite(as_superuser: Callable[[str], int]) -> Callable[..., int]:
    """Give rows that may not change another past: `rewrite(Run.objects.filter(…), title=…)`."""
    from django.db import connection
    from django.db.models.sql import UpdateQuery

    def run(rows: Any, **facts: Any) -> int:
        query = rows.query.chain(UpdateQuery)
        query.add_update_values(facts)
        statement, values = query.get_compiler(connection=connection).as_sql()
        return as_superuser(connection.ops.compose_sql(statement, values))

    return run
