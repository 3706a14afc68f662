"""Statements that libpq runs again: psycopg's rows and errors, and never a stale statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DataError, OperationalError, connection, connections, transaction

from apps.tenants.backend.prepared import run_again

pytestmark = pytest.mark.usefixtures("committed")

DIVIDE = "select 10 / %s::int, %s::text, %s::uuid"
NAMED = "select %(a)s::int, %(b)s::int, %(a)s::int"
AN_ID = UUID(int=7)


@pytest.fixture
def raw() -> Iterator[psycopg.Connection[Any]]:
    """The thread's pooled connection, with `DIVIDE` ready on it."""
    connections.close_all()
    connection.fetch(DIVIDE, [5, "a", AN_ID])  # type: ignore[attr-defined]
    yield connection.connection
    connections.close_all()


def test_what_is_ready_runs_again_with_its_values_as_psycopg_sends_them(raw: Any) -> None:
    assert run_again(raw, DIVIDE, [2, "", AN_ID]) == [(5, "", AN_ID)]
    assert run_again(raw, DIVIDE, [2, "ü\\'", AN_ID]) == [(5, "ü\\'", AN_ID)]
    for _ in range(2):  # a value without a type makes another statement of it
        assert connection.fetch(DIVIDE, [2, "a", None]) == [(5, "a", None)]  # type: ignore[attr-defined]


def test_what_is_not_ready_is_left_to_psycopg_and_nothing_is_sent(raw: Any) -> None:
    assert run_again(raw, NAMED, {"a": 1, "b": 2}) is None
    assert connection.fetch(NAMED, {"a": 1, "b": 2}) == [(1, 2, 1)]  # type: ignore[attr-defined]
    assert run_again(raw, NAMED, {"b": 2, "a": 1}) == [(1, 2, 1)]


def test_a_wrong_number_of_values_is_refused_before_anything_is_sent(raw: Any) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="3 values are wanted and 2 given"):
        run_again(raw, DIVIDE, [5, "a"])
    assert run_again(raw, DIVIDE, [5, "a", AN_ID]) == [(2, "a", AN_ID)]


def test_an_error_is_the_same_as_psycopgs_and_the_connection_goes_on(raw: Any) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero) as ours:
        run_again(raw, DIVIDE, [0, "a", AN_ID])
    with pytest.raises(psycopg.errors.DivisionByZero) as theirs:
        psycopg.Cursor(raw).execute(DIVIDE, [0, "a", AN_ID], prepare=True)
    with pytest.raises(DataError):
        connection.fetch(DIVIDE, [0, "a", AN_ID])  # type: ignore[attr-defined]

    assert str(ours.value) == str(theirs.value)
    assert ours.value.diag.sqlstate == "22012"
    assert run_again(raw, DIVIDE, [1, "a", AN_ID]) == [(10, "a", AN_ID)]


def test_a_server_that_went_away_is_an_operational_error(raw: Any, admin_cursor: Any) -> None:
    admin_cursor.execute("select pg_terminate_backend(%s, 30000)", [raw.info.backend_pid])
    with pytest.raises(OperationalError):
        connection.fetch(DIVIDE, [1, "a", AN_ID])  # type: ignore[attr-defined]


def test_a_transaction_is_begun_first_and_joined_afterwards(raw: Any) -> None:
    with transaction.atomic():
        assert run_again(raw, DIVIDE, [1, "a", AN_ID]) is None
        inside = [connection.fetch("select pg_current_xact_id()::text") for _ in range(3)]  # type: ignore[attr-defined]
        assert run_again(raw, DIVIDE, [1, "a", AN_ID]) == [(10, "a", AN_ID)]
    apart = [connection.fetch("select pg_current_xact_id()::text") for _ in range(2)]  # type: ignore[attr-defined]

    assert inside[0] == inside[1] == inside[2]
    assert apart[0] != apart[1]


def test_a_rollback_forgets_every_statement_and_the_next_call_has_it_ready_again(raw: Any) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        connection.fetch(DIVIDE, [1, "a", AN_ID])  # type: ignore[attr-defined]
        raise ZeroDivisionError
    assert run_again(raw, DIVIDE, [1, "a", AN_ID]) is None

    for _ in range(2):
        assert connection.fetch(DIVIDE, [1, "a", AN_ID]) == [(10, "a", AN_ID)]  # type: ignore[attr-defined]
    assert run_again(raw, DIVIDE, [1, "a", AN_ID]) == [(10, "a", AN_ID)]
