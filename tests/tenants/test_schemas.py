"""A new org's schema is made by one script, an older one by its migrations: the same comes out."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from apps.tenants import keys, schemas

pytestmark = pytest.mark.usefixtures("committed")

OWNER = schemas.OWNER
# Everything that stands in a schema, without the schema's name; each row is a kind and its text.
CONTENTS = """
with here as (select %(schema)s::regnamespace as oid),
said as (
  select 'column' as kind, format('%%s.%%s %%s %%s %%s %%s', c.relname, a.attname,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid)) as text
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum, here
  where c.relnamespace = here.oid and c.relkind in ('r', 'p', 'v')
  union all select 'constraint', format('%%s %%s %%s', conrelid::regclass, conname,
    pg_get_constraintdef(c.oid)) from pg_constraint c, here where connamespace = here.oid
  union all select 'index', pg_get_indexdef(c.oid)
  from pg_class c, here where c.relnamespace = here.oid and c.relkind = 'i'
  union all select 'trigger', pg_get_triggerdef(t.oid)
  from pg_trigger t join pg_class c on c.oid = tgrelid, here
  where c.relnamespace = here.oid and not tgisinternal
  union all select 'function', pg_get_functiondef(p.oid)
  from pg_proc p, here where pronamespace = here.oid
  union all select 'sequence', c.relname
  from pg_class c, here where c.relnamespace = here.oid and c.relkind = 'S'
)
select kind, replace(text, %(schema)s, 'schema') from said order by 1, 2
"""


def contents(schema: str) -> set[tuple[str, str]]:
    with keys.holding(schema), connections[OWNER].cursor() as cursor:
        cursor.execute(CONTENTS, {"schema": schema})
        return set(cursor.fetchall())


def new_schema() -> str:
    return f"org_s{uuid.uuid4().hex[:12]}"


def make(schema: str, org_id: uuid.UUID) -> None:
    schemas.create_and_migrate(schema=schema, org_id=org_id)


def by_migrations(schema: str, targets: Any) -> None:
    """What `make` did for an org before the code knew more migrations than `targets`."""
    with keys.holding(schema), connections[OWNER].cursor() as cursor:
        cursor.execute(f'create schema "{schema}"')
        MigrationRecorder(connections[OWNER]).ensure_schema()
        MigrationExecutor(connections[OWNER]).migrate(targets)


def applied(schema: str) -> set[tuple[str, str]]:
    with keys.holding(schema):
        return set(MigrationRecorder(connections[OWNER]).applied_migrations())


def test_the_script_makes_what_the_migrations_make() -> None:
    org_id, scripted, migrated = uuid.uuid4(), new_schema(), new_schema()
    by_migrations(migrated, schemas.tenant_targets())
    make(migrated, org_id)  # closes its tables too

    make(scripted, org_id)

    there = contents(scripted)
    assert {kind for kind, _ in there} >= {"column", "constraint", "index", "trigger", "function"}
    assert there == contents(migrated)
    assert applied(scripted) == applied(migrated)


def test_an_older_schema_gets_the_migrations_that_it_lacks() -> None:
    org_id, older, new = uuid.uuid4(), new_schema(), new_schema()
    first = [("agents", "0001_initial"), ("trust", "0001_initial")]
    by_migrations(older, first)
    make(new, org_id)
    assert applied(older) < applied(new)

    make(older, org_id)

    assert contents(older) == contents(new)
    assert applied(older) == applied(new)


def test_a_migration_that_no_script_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django would write a comment in its place: new orgs would lack what older ones have."""
    org_id, schema = uuid.uuid4(), new_schema()
    odd = Migration("0009_odd", "agents")
    odd.operations = [RunPython(RunPython.noop)]
    planned = MigrationExecutor.migration_plan

    def plan(self: Any, targets: Any, clean_start: bool = False) -> Any:
        return [*planned(self, targets, clean_start=clean_start), (odd, False)]

    schemas._script.cache_clear()
    monkeypatch.setattr(MigrationExecutor, "migration_plan", plan)
    with pytest.raises(ImproperlyConfigured, match=r"agents\.0009_odd .* Use RunSQL"):
        make(schema, org_id)
    assert not applied(schema)

    monkeypatch.undo()
    make(schema, org_id)
    assert applied(schema) == set(schemas._script().applied)


def test_making_it_again_changes_nothing() -> None:
    org_id, schema = uuid.uuid4(), new_schema()
    make(schema, org_id)
    before = contents(schema)
    make(schema, org_id)
    assert contents(schema) == before


def test_a_script_that_breaks_leaves_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    org_id, schema = uuid.uuid4(), new_schema()
    whole = schemas._script()
    broken = whole._replace(sql=f"{whole.sql}\nselect from nowhere;")
    monkeypatch.setattr(schemas, "_script", lambda: broken)
    with pytest.raises(Exception, match="nowhere"):
        make(schema, org_id)
    assert not applied(schema)
    monkeypatch.undo()
    make(schema, org_id)
    assert applied(schema) == set(whole.applied)
