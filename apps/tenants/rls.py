"""Row-level security and grants of a schema, derived from the catalogue and the models.

Run after every migration of an org's schema and safe to repeat: a table that a migration adds is
closed before the org is served. What is asked of the catalogue covers every table that is there,
not only those that a model names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.backends.utils import CursorWrapper

from apps.common.models import TenantModel
from apps.tenants.keys import PUBLIC
from config.defaults import shared

POLICY = "own_org"
CONSTRAINT = "own_schema"
OWN_ORG = "org_id = nullif(current_setting('app.org_id', true), '')::uuid"
# Django's own record of what was migrated: the owner's alone.
UNGUARDED = frozenset({"django_migrations"})

TABLES = """
select relname from pg_class
where relnamespace = %s::regnamespace and relkind in ('r', 'p') order by relname
"""


def secure_org_schema(cursor: CursorWrapper, *, schema: str, org_id: UUID) -> None:
    """Close every table of an org's schema and give the application's login its DML.

    The policy compares a row with the second key; the constraint ties the table to the first, so
    that the right org in another org's schema can write nothing there either.
    """
    app = shared("POSTGRES_APP_ROLE")
    grants = dict(_grants())
    cursor.execute(f'grant usage on schema "{schema}" to {app}')
    for table in _tables(cursor, schema):
        name = f'"{schema}"."{table}"'
        # At once or not at all: an org that is served meanwhile never meets a table without its
        # policy or grants, which would look to it like a member or key that has gone.
        with transaction.atomic(using=cursor.db.alias):
            cursor.execute(f"revoke all on {name} from {app}, public")
            if table not in UNGUARDED:
                _guard(cursor, name, org_id)
            if allowed := grants.get(table):
                cursor.execute(f"grant {', '.join(allowed)} on {name} to {app}")


def _guard(cursor: CursorWrapper, name: str, org_id: UUID) -> None:
    """Put the policy and the constraint on one table."""
    cursor.execute(f"alter table {name} enable row level security, force row level security")
    cursor.execute(f"drop policy if exists {POLICY} on {name}")
    cursor.execute(
        f"create policy {POLICY} on {name} as permissive for all to public "
        f"using ({OWN_ORG}) with check ({OWN_ORG})"
    )
    cursor.execute(f"alter table {name} drop constraint if exists {CONSTRAINT}")
    cursor.execute(f"alter table {name} add constraint {CONSTRAINT} check (org_id = '{org_id}')")


def secure_shared_schema(cursor: CursorWrapper) -> None:
    """Give the application's login DML on the shared tables, Django's migration record excepted."""
    app = shared("POSTGRES_APP_ROLE")
    cursor.execute(f"grant usage on schema {PUBLIC} to {app}")
    for table in _tables(cursor, PUBLIC):
        allowed = "select" if table in UNGUARDED else "select, insert, update, delete"
        cursor.execute(f'revoke all on "{PUBLIC}"."{table}" from {app}, public')
        cursor.execute(f'grant {allowed} on "{PUBLIC}"."{table}" to {app}')
    cursor.execute(f"grant usage, select on all sequences in schema {PUBLIC} to {app}")


def tenant_models() -> Iterator[type[TenantModel]]:
    """Every model whose table stands in an org's schema."""
    for config in apps.get_app_configs():
        if config.name in settings.TENANT_APPS:
            yield from (m for m in config.get_models(include_auto_created=True))  # type: ignore[misc]


def _grants() -> Iterator[tuple[str, tuple[str, ...]]]:
    for model in tenant_models():
        yield model._meta.db_table, model.app_grants


def _tables(cursor: Any, schema: str) -> list[str]:
    cursor.execute(TABLES, [schema])
    return [row[0] for row in cursor.fetchall()]
