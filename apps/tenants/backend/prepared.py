"""Running again, by libpq alone, what psycopg has prepared on a connection.

psycopg waits for an answer in small steps, so that signals and other tasks get their turn, and its
cursors keep much that one statement after the other doesn't need. Here a statement is one call
that comes back with its rows. Which statements a connection has ready is psycopg's to say, for it
forgets them all after a rollback; what isn't ready is its to prepare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg._queries import _query2pg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus

Rows = list[tuple[Any, ...]]
ENCODING: Final = "utf-8"


def run_again(
    connection: psycopg.Connection[Any], statement: str, params: Sequence[Any] | Mapping[str, Any]
) -> Rows | None:
    """The statement's rows, if it is ready on this connection; None if psycopg has to run it."""
    pgconn = connection.pgconn
    begun = pgconn.transaction_status
    if not connection.autocommit and begun != TransactionStatus.INTRANS:
        return None  # psycopg begins a transaction first
    transformer = _transformer_of(connection)
    query, formats, order, _ = _query2pg(statement.encode(), ENCODING)
    values = _in_order(params, order, len(formats))
    sent: Any = transformer.dump_sequence(values, formats)
    name = connection._prepared._names.get((query, transformer.types or ()))
    if name is None:
        return None
    result = pgconn.exec_prepared(name, sent, transformer.formats, Format.BINARY)
    if result.status != ExecStatus.TUPLES_OK:
        raise _error_of(connection, result)
    transformer.set_pgresult(result)
    rows: Rows = transformer.load_rows(0, result.ntuples, tuple)
    transformer.set_pgresult(None)
    return rows


def _transformer_of(connection: Any) -> Any:
    """What turns values into Postgres' and back; one a connection, for it remembers how."""
    known = getattr(connection, "transformer", None)
    if known is None:
        known = connection.transformer = Transformer(connection)
    return known


def _in_order(
    params: Sequence[Any] | Mapping[str, Any], order: list[str] | None, wanted: int
) -> Sequence[Any]:
    if isinstance(params, Mapping):
        return [params[name] for name in order or ()]
    if len(params) != wanted:
        raise psycopg.ProgrammingError(f"{wanted} values are wanted and {len(params)} given")
    return params


def _error_of(connection: psycopg.Connection[Any], result: Any) -> psycopg.Error:
    """What went wrong, as psycopg says it; a server that is gone is told apart."""
    if connection.pgconn.status != ConnStatus.OK:
        return psycopg.OperationalError(result.get_error_message(ENCODING))
    return error_from_result(result, encoding=ENCODING)
