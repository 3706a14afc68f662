"""A lint over Postgres' catalogue: what has to hold of every schema, asked of the server itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.tenants import rls

# Every table that stands once for all orgs. A new one is a decision: does it hold an org's data?
SHARED_TABLES = frozenset(
    {
        "account_emailaddress",
        "account_emailconfirmation",
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "django_admin_log",
        "django_content_type",
        "django_migrations",
        "mfa_authenticator",
        "tenants_domain",
        "tenants_invitation_index",
        "tenants_key_index",
        "tenants_mail_domain",
        "tenants_membership",
        "tenants_org",
        "tenants_org_activity",
        "tenants_org_stats",
        "tenants_plan",
        "tenants_session",
        "tenants_ticket",
        "users",
        "users_groups",
        "users_user_permissions",
        "usersessions_usersession",
    }
)
# name of a view, materialized view or definer function → why it is safe. There is none.
ALLOWED_VIEWS: dict[str, str] = {}
ALLOWED_DEFINERS: dict[str, str] = {}

Lint = Callable[[Any, str], list[str]]


def rows(cursor: Any, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    cursor.execute(query, arguments)
    return list(cursor.fetchall())


def lint_roles(cursor: Any, schema: str) -> list[str]:
    """Neither login is a superuser, passes row security, or is a member of the other."""
    wrong = rows(
        cursor,
        "select rolname from pg_roles where rolname in ('mandate_owner', 'mandate_app') and "
        "(rolsuper or rolbypassrls or rolcreaterole or rolreplication)",
    )
    member = rows(
        cursor,
        "select 'mandate_app' where pg_has_role('mandate_app', 'mandate_owner', 'member')",
    )
    count = rows(cursor, "select from pg_roles where rolname in ('mandate_owner', 'mandate_app')")
    return [f"role {name} is too strong" for (name,) in wrong + member] + (
        [] if len(count) == 2 else ["a role is missing"]
    )


def lint_owners(cursor: Any, schema: str) -> list[str]:
    """Everything in the schema is the owner's, so the application can't alter it."""
    found = rows(
        cursor,
        "select relname from pg_class where relnamespace = %s::regnamespace "
        "and pg_get_userbyid(relowner) <> 'mandate_owner' and relkind in ('r','p','v','m','S')",
        schema,
    )
    return [f"{name} is not the owner's" for (name,) in found]


def lint_row_security(cursor: Any, schema: str) -> list[str]:
    """Each table forces row security with exactly the one policy, for every command and role."""
    found = []
    query = (
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity, "
        "coalesce(array_agg(p.polname || ':' || p.polcmd::text || ':' || p.polpermissive::text "
        "|| ':' || p.polroles::text || ':' || pg_get_expr(p.polqual, p.polrelid) || ':' || "
        "pg_get_expr(p.polwithcheck, p.polrelid)) filter (where p.polname is not null), '{}') "
        "from pg_class c left join pg_policy p on p.polrelid = c.oid "
        "where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'p') group by 1, 2"
    )
    own = "(org_id = (NULLIF(current_setting('app.org_id'::text, true), ''::text))::uuid)"
    for table, forced, policies in rows(cursor, query, schema):
        if table in rls.UNGUARDED:
            continue
        if not forced or policies != [f"own_org:*:true:{{0}}:{own}:{own}"]:
            found.append(f"{table} is not guarded: forced={forced} {policies}")
    return found


def lint_org_column(cursor: Any, schema: str) -> list[str]:
    """Each table has `org_id uuid not null` with the session's org as its default."""
    query = (
        "select c.relname from pg_class c left join pg_attribute a on a.attrelid = c.oid "
        "and a.attname = 'org_id' and a.atttypid = 'uuid'::regtype and a.attnotnull "
        "left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum "
        "where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'p') and "
        "(d.oid is null or pg_get_expr(d.adbin, d.adrelid) not like '%%app.org_id%%')"
    )
    found = rows(cursor, query, schema)
    return [
        f"{name} has no org_id of the session" for (name,) in found if name not in rls.UNGUARDED
    ]


def lint_own_schema(cursor: Any, schema: str) -> list[str]:
    """Each table is tied to the org that the schema belongs to."""
    query = (
        "select c.relname from pg_class c where c.relnamespace = %s::regnamespace "
        "and c.relkind in ('r', 'p') and not exists (select from pg_constraint k, tenants_org o "
        "where k.conrelid = c.oid and k.conname = 'own_schema' and k.convalidated "
        "and o.schema_name = %s "
        "and pg_get_constraintdef(k.oid) = format('CHECK ((org_id = %%L::uuid))', o.id))"
    )
    found = rows(cursor, query, schema, schema)
    return [f"{name} may hold other orgs' rows" for (name,) in found if name not in rls.UNGUARDED]


def lint_grants(cursor: Any, schema: str) -> list[str]:
    """The application has exactly what each model says, and nobody else has anything."""
    wanted = {m._meta.db_table: set(m.app_grants) for m in rls.tenant_models()}
    query = (
        "select p.relname, lower(p.privilege_type) || p.columns,"
        " coalesce(pg_get_userbyid(nullif(p.grantee, 0)), 'public') from ("
        " select c.relnamespace, c.relkind, c.relname, a.privilege_type, a.grantee, '' as columns"
        " from pg_class c, aclexplode(c.relacl) a union all"
        " select c.relnamespace, c.relkind, c.relname, a.privilege_type, a.grantee,"
        " ' (' || string_agg(t.attname, ', ' order by t.attnum) || ')'"
        " from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a"
        " group by 1, 2, 3, 4, 5) p"
        " where p.relnamespace = %s::regnamespace and p.relkind in ('r', 'p')"
    )
    has: dict[str, set[str]] = {}
    found = []
    for table, privilege, grantee in rows(cursor, query, schema):
        if grantee == "mandate_app":
            has.setdefault(table, set()).add(privilege)
        elif grantee != "mandate_owner":
            found.append(f"{grantee} may {privilege} {table}")
    for table in wanted.keys() | has.keys():
        if has.get(table, set()) != wanted.get(table, set()):
            found.append(f"{table}: app has {has.get(table)}, model says {wanted.get(table)}")
    return found


def lint_views(cursor: Any, schema: str) -> list[str]:
    """Views run with their owner's rights; materialized ones keep rows outside of policies."""
    found = rows(
        cursor,
        "select relname from pg_class where relnamespace = %s::regnamespace "
        "and relkind in ('v', 'm')",
        schema,
    )
    return [f"{name} is a view" for (name,) in found if name not in ALLOWED_VIEWS]


def lint_functions(cursor: Any, schema: str) -> list[str]:
    """A definer function would run with the owner's rights; the schema's own are invokers."""
    found = rows(
        cursor,
        "select proname from pg_proc where pronamespace = %s::regnamespace and prosecdef",
        schema,
    )
    return [f"{name} is SECURITY DEFINER" for (name,) in found if name not in ALLOWED_DEFINERS]


def lint_foreign_keys(cursor: Any, schema: str) -> list[str]:
    """None into the shared schema, and no cascade or null into or out of an append-only table."""
    kept = {
        m._meta.db_table
        for m in rls.tenant_models()
        if not {"update", "delete"} & set(m.app_grants) or "delete" not in m.app_grants
    }
    query = (
        "select k.conname, a.relname, b.relname, b.relnamespace::regnamespace::text, "
        "k.confdeltype::text from pg_constraint k join pg_class a on a.oid = k.conrelid "
        "join pg_class b on b.oid = k.confrelid "
        "where k.contype = 'f' and a.relnamespace = %s::regnamespace"
    )
    found = []
    for name, table, target, namespace, on_delete in rows(cursor, query, schema):
        if namespace != schema:
            found.append(f"{table}.{name} leaves the schema for {namespace}.{target}")
        if {table, target} & kept and on_delete not in {"a", "r"}:
            found.append(f"{table}.{name} would erase or change a record")
    return found


def lint_shared_tables(cursor: Any, schema: str) -> list[str]:
    found = {name for (name,) in rows(cursor, rls.TABLES, "public")}
    return [f"public.{name} is not on the list" for name in found - SHARED_TABLES] + [
        f"public.{name} is gone" for name in SHARED_TABLES - found
    ]


LINTS: list[Lint] = [
    lint_roles,
    lint_owners,
    lint_row_security,
    lint_org_column,
    lint_own_schema,
    lint_grants,
    lint_views,
    lint_functions,
    lint_foreign_keys,
    lint_shared_tables,
]

# Each lint and a change that it has to notice, made in a throw-away org by the owner or superuser.
MUTATIONS = [
    (lint_roles, "alter role mandate_app bypassrls", "alter role mandate_app nobypassrls"),
    (lint_owners, 'alter table "{s}".{t} owner to postgres', ""),
    (lint_row_security, 'alter table "{s}".{t} no force row level security', ""),
    (lint_row_security, 'drop policy own_org on "{s}".{t}', ""),
    (lint_row_security, 'create policy two on "{s}".{t} using (true)', ""),
    (lint_org_column, 'alter table "{s}".{t} alter org_id drop default', ""),
    (lint_own_schema, 'alter table "{s}".{t} drop constraint own_schema', ""),
    (lint_grants, 'grant truncate on "{s}".{t} to mandate_app', ""),
    (lint_grants, 'grant select on "{s}".{t} to public', ""),
    (lint_grants, 'grant delete on "{s}".audit_events to mandate_app', ""),
    (lint_views, 'create view "{s}".peek as select * from "{s}".{t}', ""),
    (lint_views, 'create materialized view "{s}".peek as select 1 as one', ""),
    (
        lint_functions,
        'create function "{s}".f() returns int language sql security definer as $$select 1$$',
        "",
    ),
    (
        lint_foreign_keys,
        'alter table "{s}".{t} add column u uuid references public.users on delete cascade',
        "",
    ),
    (
        lint_foreign_keys,
        'alter table "{s}".audit_events add column k uuid references "{s}".signing_keys '
        "on delete cascade",
        "",
    ),
    (lint_shared_tables, "create table public.stray (id int)", "drop table public.stray"),
]


@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_every_org_passes(
    lint: Lint, throwaway_org: Any, admin_cursor: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    org = throwaway_org()
    schemas = rows(admin_cursor, "select nspname from pg_namespace where nspname like 'org\\_%%'")
    found = {schema: lint(admin_cursor, schema) for (schema,) in schemas if schema == org.schema}
    with capsys.disabled():
        tables = len(rows(admin_cursor, rls.TABLES, org.schema))
        print(f"\n{lint.__name__}: {tables} tables, {sum(map(len, found.values()))} findings")
    assert found == {org.schema: []}


@pytest.mark.parametrize(("lint", "change", "undo"), MUTATIONS)
def test_every_lint_notices_what_it_is_for(
    lint: Lint, change: str, undo: str, throwaway_org: Any, admin_cursor: Any
) -> None:
    org = throwaway_org()
    admin_cursor.execute(change.format(s=org.schema, t="signing_keys"))
    try:
        assert lint(admin_cursor, org.schema) != []
    finally:
        if undo:
            admin_cursor.execute(undo)
