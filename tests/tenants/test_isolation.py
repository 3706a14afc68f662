"""Two keys for every row: what the wrong pair of keys can do to any table of an org. Nothing.

The tables are those that pg_catalog lists in a tenant schema (django_migrations alone excepted), so
one that a later migration adds without its policy fails here by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections

from apps.tenants import rls
from apps.tenants.backend.base import SET_KEYS, search_path


@dataclass(frozen=True)
class Pair:
    """A pair of keys and what is wrong with it."""

    name: str
    schema: str
    org_id: str


def wrong_pairs(victim: Any, attacker: Any) -> list[Pair]:
    return [
        Pair("right schema, no org", victim.schema, ""),
        Pair("right schema, other org", victim.schema, str(attacker.id)),
        Pair("right schema, unknown org", victim.schema, str(uuid4())),
        Pair("other schema, right org", attacker.schema, str(victim.id)),
    ]


@contextmanager
def as_app() -> Iterator[psycopg.Connection[Any]]:
    """A raw connection with the application's login, rolled back at the end."""
    with psycopg.connect(**_params(), autocommit=False) as connection:
        yield connection
        connection.rollback()


def _params() -> dict[str, Any]:
    found = connections["default"].settings_dict
    return {
        "host": found["HOST"],
        "port": found["PORT"],
        "user": found["USER"],
        "password": found["PASSWORD"],
        "dbname": found["NAME"],
    }


def tables(admin: Any, schema: str) -> list[str]:
    admin.execute(rls.TABLES, [schema])
    return [name for (name,) in admin.fetchall() if name != "django_migrations"]


def fill(admin: Any, schema: str, table: str, org_id: UUID) -> int:
    """Make sure the table has a row of the org's; triggers aside, any row will do."""
    admin.execute("set session_replication_role = replica")
    admin.execute(f'select count(*) from "{schema}"."{table}" where org_id = %s', [org_id])
    if admin.fetchone()[0] == 0:
        columns = _columns(admin, schema, table)
        names = ", ".join(f'"{name}"' for name, _ in columns)
        values = ", ".join(value for _, value in columns)
        admin.execute("select set_config('app.org_id', %s, false)", [str(org_id)])
        admin.execute(f'insert into "{schema}"."{table}" ({names}) values ({values})')
    admin.execute(f'select count(*) from "{schema}"."{table}"')
    return int(admin.fetchone()[0])


def _columns(admin: Any, schema: str, table: str) -> list[tuple[str, str]]:
    """A value for every column that has neither a default nor a null."""
    admin.execute(
        "select column_name, data_type from information_schema.columns where table_schema = %s "
        "and table_name = %s and is_nullable = 'NO' and column_default is null "
        "and is_identity = 'NO' and column_name <> 'org_id'",
        [schema, table],
    )
    words = WORDS.get(table, {})
    return [(name, words.get(name) or sample(kind)) for name, kind in admin.fetchall()]


# Where a constraint knows the words that a column may hold.
WORDS = {
    "org_domains": {"kind": "'host'", "state": "'pending'"},
    "approvals": {"status": "'pending'", "expires_at": "now() + interval '1 day'"},
    "approval_rules": {"tool": "''"},
    "approval_votes": {"verdict": "'approve'"},
    "channels": {"state": "'active'"},
}


def sample(kind: str) -> str:
    if kind == "uuid":
        return "gen_random_uuid()"
    if kind == "bytea":
        return "sha256(gen_random_uuid()::text::bytea)"
    if kind == "ARRAY":
        return "'{}'"
    if kind == "jsonb":
        return "'[]'::jsonb"
    if kind == "boolean":
        return "false"
    if kind.startswith("timestamp"):
        return "now()"
    if kind in {"integer", "bigint", "smallint"}:
        return "1"
    return "left(gen_random_uuid()::text, 8)"


def statements(admin: Any, table: str, victim: Any) -> dict[str, str]:
    """One statement a verb; the insert is a whole row that only the keys can stop."""
    columns = [("org_id", f"'{victim.id}'"), *_columns(admin, victim.schema, table)]
    names, values = (", ".join(part) for part in zip(*columns, strict=True))
    return {
        "select": f"select from \"{table}\" where org_id = '{victim.id}'",
        "update": f"update \"{table}\" set org_id = org_id where org_id = '{victim.id}'",
        "delete": f"delete from \"{table}\" where org_id = '{victim.id}'",
        "insert": f'insert into "{table}" ({names}) values ({values})',
    }


def touched(
    connection: psycopg.Connection[Any], tries: dict[str, str], pair: Pair, victim: Any
) -> list[str]:
    """The verbs that reached a row with that pair of keys; each is tried by itself."""
    reached = []
    for verb, statement in tries.items():
        connection.execute(SET_KEYS, [search_path(pair.schema), pair.org_id])
        try:
            with connection.transaction(force_rollback=True):
                count = connection.execute(statement).rowcount
        except psycopg.errors.InsufficientPrivilege:
            continue  # no grant, or the policy's WITH CHECK, which comes before any constraint
        except psycopg.errors.IntegrityError as error:
            if pair.schema == victim.schema:
                reached.append(f"{verb} passed the policy ({error.diag.constraint_name})")
            continue  # in another org's schema: the table's own_schema, or a sample that won't do
        if count:
            reached.append(verb)
    return reached


def attack(admin: Any, victim: Any, attacker: Any) -> tuple[int, list[str]]:
    """Try every table with every wrong pair and verb: how many attempts, and which came through."""
    attempts, breaches = 0, []
    for table in tables(admin, victim.schema):
        before = fill(admin, victim.schema, table, victim.id)
        tries = statements(admin, table, victim)
        with as_app() as connection:
            for pair in wrong_pairs(victim, attacker):
                attempts += len(tries)
                for verb in touched(connection, tries, pair, victim):
                    breaches.append(f"{table}: {verb} with {pair.name}")
        admin.execute(f'select count(*) from "{victim.schema}"."{table}"')
        assert admin.fetchone()[0] == before, f"{table} changed"
    return attempts, breaches


@pytest.fixture
def orgs(committed: None) -> tuple[Any, Any]:
    from apps.tenants.selectors import find_org_by_slug

    return find_org_by_slug("globex"), find_org_by_slug("acme")


def test_the_wrong_pair_of_keys_touches_no_table(
    orgs: tuple[Any, Any], throwaway_org: Any, admin_cursor: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    victim, attacker = throwaway_org(), orgs[1]

    attempts, breaches = attack(admin_cursor, victim, attacker)

    count = len(tables(admin_cursor, victim.schema))
    with capsys.disabled():
        print(f"\nisolation: {count} tables, {attempts} attempts, {len(breaches)} rows touched")
    assert count > 8
    assert breaches == []


def test_the_right_pair_of_keys_sees_every_table(throwaway_org: Any, admin_cursor: Any) -> None:
    """The positive control: the same statements with both keys right find the rows."""
    victim = throwaway_org()
    right = Pair("both right", victim.schema, str(victim.id))
    for table in tables(admin_cursor, victim.schema):
        fill(admin_cursor, victim.schema, table, victim.id)
        with as_app() as connection:
            tries = statements(admin_cursor, table, victim)
            assert touched(connection, tries, right, victim)[:1] == ["select"], table


def test_without_one_policy_the_attack_comes_through(
    orgs: tuple[Any, Any], throwaway_org: Any, admin_cursor: Any
) -> None:
    """The mutation control: one table's row security is switched off, and only it is breached."""
    victim = throwaway_org()
    table = tables(admin_cursor, victim.schema)[-1]
    admin_cursor.execute(f'alter table "{victim.schema}"."{table}" disable row level security')

    _, breaches = attack(admin_cursor, victim, orgs[1])

    assert breaches
    assert {breach.partition(":")[0] for breach in breaches} == {table}
