"""The one place where a connection learns whose rows it may see.

Before a statement runs, the connection's `search_path` and `app.org_id` are made equal to the keys
of the running code (`apps.tenants.keys`): both in one round trip, and only when they differ. If
that fails the statement doesn't run. A connection at rest in the pool keeps the keys that it has;
whoever takes it has their own put on before it is theirs, or none if they hold none.
"""

from __future__ import annotations

import select
from typing import Any

import psycopg
from django_tenants.postgresql_backend import base as tenants_backend
from psycopg import sql
from psycopg.pq import TransactionStatus

from apps.tenants import keys
from apps.tenants.backend.prepared import run_again

# A backend keeps catalogue entries of every schema it has touched, about 1 MB an org (measured).
ORGS_A_CONNECTION = 100

SET_KEYS = "select set_config('search_path', %s, false), set_config('app.org_id', %s, false)"


class DatabaseWrapper(tenants_backend.DatabaseWrapper):  # type: ignore[misc]
    """A connection that follows the keys instead of keeping a tenant of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.initialised = self._has_served = False
        self.search_path_set_schemas: keys.Keys | None = None
        self._left_on: keys.Keys | None = None
        self._setting_search_path = False
        super().__init__(*args, **kwargs)
        self.initialised = True

    @property
    def schema_name(self) -> str:
        return keys.current().schema

    @schema_name.setter
    def schema_name(self, value: str | None) -> None:
        """The library writes it while it initialises; the keys alone decide."""

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        """The library's door: turns the first key and puts down the second."""
        if self.initialised:
            keys.use_schema(tenant.schema_name)

    def commit(self) -> None:
        """Remember the keys only over a commit that was one.

        Postgres answers the COMMIT of a transaction in which something failed with a ROLLBACK, and
        with no error: the keys that were put on in it are gone, and those from before are on.
        """
        kept, status = self.search_path_set_schemas, TransactionStatus.IDLE
        if self.connection is not None:
            status = self.connection.info.transaction_status
        self.search_path_set_schemas = None
        super().commit()
        if status != TransactionStatus.INERROR:
            self.search_path_set_schemas = kept

    def close(self) -> None:
        """Note which keys the connection has on: the library forgets them first."""
        self._left_on = self.search_path_set_schemas
        super().close()

    def _close(self) -> Any:
        """Give the connection back with its keys on: the next request is often of the same org, and
        to take them off and put them on again was two round trips of its five.
        """
        if self.connection is not None and self.pool:
            lay_down(self.connection, self._left_on)
        return super()._close()

    def connect(self) -> None:
        """Take a connection of the pool: as Django does, but for what it asks of one that it makes.

        The first time, and where there is no pool, it is all Django's.
        """
        if self.pool is None or not self._has_served:
            super().connect()
            self._has_served = True
            return
        self.in_atomic_block = self.needs_rollback = self.closed_in_transaction = False
        self.savepoint_ids: list[Any] = []
        self.atomic_blocks: list[Any] = []
        self.run_on_commit: list[Any] = []
        self.errors_occurred, self.health_check_done = False, True
        self.connection = self.get_new_connection({})
        if not self.connection.autocommit:
            self.connection.autocommit = True
        self.autocommit = True

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection with the running code's keys on; of those at rest in the pool, none that the
        server has closed meanwhile.

        A restart of Postgres leaves the whole pool stale, and nothing has been sent yet.
        """
        pool = self.pool
        if pool is None or pool.closed or not self._has_served:
            connection = super().get_new_connection(conn_params)
        else:
            connection = pool.getconn()
        if pool is None:
            return connection
        for _ in range(pool.max_size):
            if not is_gone(connection):
                break
            connection.close()
            pool.putconn(connection)  # which replaces one that is closed
            connection = super().get_new_connection(conn_params)
        self._take_over(connection)
        return connection

    def _take_over(self, connection: psycopg.Connection[Any]) -> None:
        """Put the running code's keys on a connection of the pool, unless it has just these on."""
        wanted, has_on = keys.current(), getattr(connection, "keys_on", None)
        connection.keys_on = None  # type: ignore[attr-defined]  # unsure until it rests again
        if has_on != wanted:
            try:
                put_on(connection, wanted)
            except BaseException:  # a task's time limit, too: the pool's place must not be lost
                connection.close()
                self.pool.putconn(connection)
                raise
        self.search_path_set_schemas = wanted

    def fetch(self, statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
        """Run one statement that is run again and again, and read its rows.

        Postgres parses and plans it once a connection; an ordinary cursor sends its values within
        the text, so that each time is the first. Types that a value doesn't tell need a cast, and
        JSON is read as text: `::text`. Who counts or logs statements sees it as an ordinary one.

        A request waits for the answer inside libpq, which costs half of what psycopg's own waiting
        does (measured). A job or a command doesn't: a signal must reach it while it waits.
        """
        if self.queries_logged or self.execute_wrappers:
            with self.cursor() as cursor:
                cursor.execute(statement, params)
                return list(cursor.fetchall())
        self.ensure_connection()
        self._handle_search_path()
        with self.wrap_database_errors:
            if self.pool is not None:
                rows = run_again(self.connection, statement, params)
                if rows is not None:
                    return rows
            with psycopg.Cursor(self.connection) as cursor:
                return cursor.execute(statement, params, prepare=True, binary=True).fetchall()

    def _set_autocommit(self, autocommit: bool) -> None:
        """Say it only if it changes something: psycopg's way of saying it is a wait each time."""
        if self.connection.autocommit != autocommit:
            super()._set_autocommit(autocommit)

    def _handle_search_path(self, cursor: Any = None) -> None:
        """Bring the session in line with the keys; called by the library before every cursor."""
        wanted = keys.current()
        if self._setting_search_path or self.search_path_set_schemas == wanted:
            return
        if self.connection.info.transaction_status == TransactionStatus.INERROR:
            return  # only ROLLBACK can follow, and nothing can be read
        self._setting_search_path = True
        self.search_path_set_schemas = None
        try:
            with self.wrap_database_errors:
                put_on(self.connection, wanted)
        finally:
            self._setting_search_path = False
        self.search_path_set_schemas = wanted


def is_gone(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has left a connection at rest: it has something to say, and be it EOF.

    Costs no round trip. A notice that nobody asked for looks the same; then a healthy one is
    replaced.
    """
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def search_path(schema: str) -> str:
    """The path that finds an org's tables first and the shared ones second."""
    names = [schema] if schema == keys.PUBLIC else [schema, keys.PUBLIC]
    return ", ".join(sql.Identifier(name).as_string(None) for name in names)


def remember(connection: Any, schema: str) -> None:
    """Count the orgs that this connection has served."""
    served = getattr(connection, "orgs_served", None)
    if served is None:
        served = connection.orgs_served = set()
    served.add(schema)


def is_worn(connection: Any) -> bool:
    """Whether it has served so many orgs that it had better be replaced."""
    return len(getattr(connection, "orgs_served", ())) >= ORGS_A_CONNECTION


def put_on(connection: psycopg.Connection[Any], wanted: keys.Keys) -> None:
    """Set both keys: one round trip, planned once a connection."""
    values = [search_path(wanted.schema), str(wanted.org_id or "")]
    with psycopg.Cursor(connection) as cursor:
        cursor.execute(SET_KEYS, values, prepare=True)
    remember(connection, wanted.schema)


def lay_down(connection: psycopg.Connection[Any], keys_on: keys.Keys | None) -> None:
    """Make a connection ready to rest, and note on it which keys it has on; None if unsure.

    One that can't be asked, or has served its share of orgs, is retired.
    """
    if is_worn(connection):
        connection.close()
        return
    try:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.rollback()
            keys_on = None  # what was set in it may have been undone
        if not connection.autocommit:
            connection.autocommit = True
    except psycopg.Error:
        connection.close()
    connection.keys_on = keys_on  # type: ignore[attr-defined]
