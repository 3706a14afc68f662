-- Makes the two logins of the product and prepares the database this is run in.
--
--   mandate_owner  migrates, creates and erases orgs; owns the database and everything in it
--   mandate_app    serves requests and tasks: no DDL, no temporary tables, only the DML it is granted
--
-- Neither is a superuser nor bypasses row-level security, so FORCE ROW LEVEL SECURITY binds both.
-- Neither is a member of the other: the app's login can never become the owner.
-- Run by a superuser, as often as you like (a change of password is one more run). Both the embedded
-- launcher and the Postgres container run this very file; the passwords come as session settings:
--
--   select set_config('mandate.owner_password', '…', false), set_config('mandate.app_password', '…', false);

do $$
declare
    login record;
begin
    for login in
        select * from (values
            ('mandate_owner', current_setting('mandate.owner_password')),
            ('mandate_app', current_setting('mandate.app_password'))
        ) as logins (name, password)
    loop
        if login.password = '' then
            raise exception 'the password of % is empty', login.name;
        end if;
        if not exists (select from pg_catalog.pg_roles where rolname = login.name) then
            execute format('create role %I', login.name);
        end if;
        execute format(
            'alter role %I login nosuperuser nobypassrls nocreaterole nocreatedb noreplication password %L',
            login.name, login.password
        );
    end loop;

    execute format('alter database %I owner to mandate_owner', current_database());
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect, create on database %I to mandate_owner', current_database());
    execute format('grant connect on database %I to mandate_app', current_database());
end
$$;

-- A connection that nobody gave an org finds no table at all, not even a shared one.
alter role mandate_app set search_path = pg_catalog;
-- The same statement runs in every org's schema: replanning it at each change costs more than it gains.
alter role mandate_app set plan_cache_mode = force_generic_plan;
-- A request that hangs inside a transaction holds locks and delays the sealer's cursor.
alter role mandate_app set idle_in_transaction_session_timeout = '60s';

revoke all on schema public from public;
grant usage, create on schema public to mandate_owner;
grant usage on schema public to mandate_app;
