import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# The public vectors are no part of the repository: `make vectors VECTORS=<folder>` brings them.
collect_ignore = [] if os.environ.get("VECTORS") else ["test_vectors.py"]

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
def enter_other_org(org: Any, other_org: Any) -> Callable[[], Any]:
    from apps.tenants import keys

    return lambda: keys.holding(other_org.schema, other_org.id)


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
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealer waits for the transactions of this worker's own database only."""
    from apps.trust.services import sealer
    from tests.trust.log import oldest_running_here

    monkeypatch.setattr(sealer, "oldest_running", oldest_running_here)
