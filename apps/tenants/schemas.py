"""Making, migrating and dropping schemas: the owner's login, and nobody else's.

`owner` exists only in the provisioner and in one-shot commands, so nothing here can run in a
process that serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apps.tenants import keys, rls

OWNER = "owner"


def tenant_targets() -> list[tuple[str, str]]:
    """The last migration of each tenant app."""
    return [
        leaf
        for leaf in _loader().graph.leaf_nodes()
        if apps.get_app_config(leaf[0]).name in settings.TENANT_APPS
    ]


@cache
def current_version() -> str:
    """What a fully migrated org schema is called: a digest of the migrations that made it."""
    text = ",".join(sorted(f"{app}.{name}" for app, name in tenant_targets()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def create_and_migrate(*, schema: str, org_id: UUID) -> None:
    """Bring an org's schema to the present version, from nothing or from an older one.

    The second key is held too: under FORCE row-level security even the owner sees no row without
    it, and a data migration would silently do nothing.
    """
    with exclusive(org_id), keys.holding(schema, org_id):
        connection = connections[OWNER]
        with connection.cursor() as cursor:
            cursor.execute(f'create schema if not exists "{schema}"')
        recorder = MigrationRecorder(connection)
        recorder.ensure_schema()
        if recorder.applied_migrations():
            MigrationExecutor(connection).migrate(tenant_targets())
        else:
            _run_script(recorder)
        with connection.cursor() as cursor:
            rls.secure_org_schema(cursor, schema=schema, org_id=org_id)


def _run_script(recorder: MigrationRecorder) -> None:
    """Make an empty schema whole in one transaction, with the record of what made it."""
    script = _script()
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(script.sql)
        recorder.migration_qs.bulk_create(
            recorder.Migration(app=app, name=name) for app, name in script.applied
        )


class Script(NamedTuple):
    """What all migrations of the tenant apps do to an empty schema."""

    sql: str
    applied: tuple[tuple[str, str], ...]


@cache
def _script() -> Script:
    """The SQL of every tenant migration, collected once a process.

    Django renders all models anew for each migration, which takes seconds an org and more with
    every org; what comes out names no schema and is the same for all of them. What it would leave
    out without a word is refused.
    """
    executor = MigrationExecutor(connections[OWNER])
    plan = executor.migration_plan(tenant_targets(), clean_start=True)
    _check_is_sql(migration for migration, _ in plan)
    return Script(
        sql="\n".join(executor.loader.collect_sql(plan)),
        applied=tuple((migration.app_label, migration.name) for migration, _ in plan),
    )


def _check_is_sql(migrations: Iterable[Migration]) -> None:
    """Raises ImproperlyConfigured for what no script can hold, such as RunPython: Django writes a
    comment in its place, and new orgs would lack what older ones have.
    """
    for migration in migrations:
        for operation in migration.operations:
            if not operation.reduces_to_sql:
                raise ImproperlyConfigured(
                    f"{migration} does what isn't SQL ({operation.describe()}), and orgs are made "
                    "by a script. Use RunSQL."
                )


def drop(*, schema: str, org_id: UUID) -> None:
    """Erase an org's schema and every row in it."""
    with exclusive(org_id), connections[OWNER].cursor() as cursor:
        cursor.execute(f'drop schema if exists "{schema}" cascade')


def migrate_shared() -> bool:
    """Bring the shared schema to the present version; whether there was anything to do."""
    with keys.holding():
        connection = connections[OWNER]
        executor = MigrationExecutor(connection)
        if not executor.migration_plan(_shared_targets()):
            return False
        executor.migrate(_shared_targets())
        emit_post_migrate_signal(verbosity=0, interactive=False, db=OWNER)
        with connection.cursor() as cursor:
            rls.secure_shared_schema(cursor)
    return True


def _shared_targets() -> list[tuple[str, str]]:
    tenant = set(tenant_targets())
    return [leaf for leaf in _loader().graph.leaf_nodes() if leaf not in tenant]


@cache
def _loader() -> MigrationLoader:
    return MigrationLoader(None)


@contextmanager
def exclusive(org_id: UUID) -> Iterator[None]:
    """One at a time for one org, across processes; the lock dies with the connection.

    It nests: who decides by an org's state takes it before reading that state.
    """
    number = int.from_bytes(org_id.bytes[-8:], signed=True)
    with keys.holding(), connections[OWNER].cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [number])
    try:
        yield
    finally:
        with keys.holding(), connections[OWNER].cursor() as cursor:
            cursor.execute("select pg_advisory_unlock(%s)", [number])
