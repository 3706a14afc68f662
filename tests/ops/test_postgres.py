"""The embedded Postgres: reachable where it must be, closed to everybody without a password."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import errors

from config.local import place, ports
from config.local.home import Home
from config.local.postgres import EmbeddedPostgres
from tests.ops.rig import clean_environ, closed_home, eventually

AS_ROOT = os.geteuid() == 0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def postgres():
    with closed_home() as home, EmbeddedPostgres(home, fsync=False) as server:
        yield server


def one(url: str, query: str):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()


def settings(url: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return one(url, "select " + ", ".join(f"current_setting('{name}')" for name in names))


def test_under_a_closed_folder_it_serves_as_somebody_who_is_not_root(postgres):
    assert one(postgres.app_url, "select 41 + 1") == (42,)

    user = psutil.Process(postgres.process.pid).username()
    outside = postgres.home.read("place.json").get("outside")

    assert user == ("nobody" if AS_ROOT else psutil.Process().username())
    assert (outside is not None) is AS_ROOT
    assert postgres.place.cluster == Path(outside or postgres.home.path) / "postgres"


def test_the_logins_can_do_what_they_are_for_and_no_more(postgres):
    roles = """
        select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb
        from pg_roles where rolname = current_user
    """
    for url in (postgres.app_url, postgres.owner_url):
        assert one(url, roles) == (False, False, False, False)

    with psycopg.connect(postgres.owner_url, autocommit=True) as owner:
        owner.execute("create schema an_org")
        owner.execute("create table public.of_owner (n int)")
        with pytest.raises(errors.InsufficientPrivilege):
            owner.execute("set role mandate_app")
    for statement in (
        "create schema another_org",
        "create table public.of_app (n int)",
        "create temporary table t (n int)",
        "select * from public.of_owner",
        "set role mandate_owner",
        "set session authorization mandate_owner",
    ):
        with psycopg.connect(postgres.app_url) as app, pytest.raises(errors.InsufficientPrivilege):
            app.execute(statement)

    found = "select count(*) from pg_namespace where nspname in ('an_org', 'another_org')"
    assert one(postgres.owner_url, found) == (1,)


def test_the_app_login_starts_without_a_search_path_and_with_generic_plans(postgres):
    names = ("search_path", "plan_cache_mode", "idle_in_transaction_session_timeout")

    assert settings(postgres.app_url, names) == ("pg_catalog", "force_generic_plan", "1min")


def test_what_an_installation_needs_is_configured(postgres):
    names = (
        *("max_locks_per_transaction", "max_connections"),
        *("listen_addresses", "unix_socket_directories"),
    )

    assert settings(postgres.admin_url, names) == ("512", "200", "127.0.0.1", "")


def test_nobody_gets_in_without_the_password(postgres):
    for url in (postgres.app_url, postgres.owner_url, postgres.admin_url):
        secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(secret, "wrong"))
        assert psutil.Process(postgres.process.pid).cmdline().count(secret) == 0
    assert one(
        postgres.admin_url, "select count(*) from pg_hba_file_rules where auth_method = 'trust'"
    ) == (0,)


def test_running_the_roles_again_changes_the_password_and_nothing_else(postgres):
    grants = (
        "select datacl::text, pg_get_userbyid(datdba) from pg_database where datname = 'mandate'"
    )
    before = one(postgres.admin_url, grants)

    postgres.apply_roles("mandate")
    postgres.apply_roles("mandate")

    assert one(postgres.admin_url, grants) == before
    assert one(postgres.app_url, "select 1") == (1,)


def test_an_empty_password_is_refused(postgres):
    sql = (ROOT / "config/postgres/roles.sql").read_bytes()
    with psycopg.connect(postgres.admin_url) as admin:
        admin.execute("select set_config('mandate.owner_password', 'x', false)")
        admin.execute("select set_config('mandate.app_password', '', false)")
        with pytest.raises(errors.RaiseException, match="password of mandate_app is empty"):
            admin.execute(sql)

    assert one(postgres.app_url, "select 1") == (1,)


def test_the_containers_script_makes_the_same_logins(postgres):
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute("create database from_script")
    address = psycopg.conninfo.conninfo_to_dict(postgres.admin_url)
    known = postgres.home.read("postgres.json")
    programs = place._package() / "pginstall/bin"

    subprocess.run(
        [ROOT / "config/postgres/initdb.sh"],
        check=True,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PGHOST": address["host"],
            "PGPORT": address["port"],
            "PGPASSWORD": address["password"],
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "from_script",
            "MANDATE_OWNER_PASSWORD": known["owner_password"],
            "MANDATE_APP_PASSWORD": known["app_password"],
            "ROLES_SQL": str(ROOT / "config/postgres/roles.sql"),
        },
    )

    grants = "select datacl::text, pg_get_userbyid(datdba) from pg_database where datname = '{}'"
    assert one(postgres.admin_url, grants.format("from_script")) == one(
        postgres.admin_url, grants.format("mandate")
    )
    assert one(postgres.app_url.removesuffix("/mandate") + "/from_script", "select 1") == (1,)


def test_committed_rows_survive_a_restart_and_its_port_stays():
    with closed_home() as home:
        server = EmbeddedPostgres(home)
        server.start()
        with psycopg.connect(server.owner_url) as owner:
            owner.execute("create table public.kept (n int)")
            owner.execute("insert into public.kept values (7)")
        url = server.owner_url
        server.stop()

        with EmbeddedPostgres(home) as again:
            assert again.owner_url == url
            assert one(again.owner_url, "select n from public.kept") == (7,)
            assert one(again.admin_url, "show fsync") == ("on",)


def test_a_port_that_somebody_took_is_chosen_anew():
    with closed_home() as home, EmbeddedPostgres(home, fsync=False) as server:
        port = server.port
        server.stop()
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind((ports.LOOPBACK, port))
            taker.listen()

            server.start()

            assert server.port != port
            assert one(server.app_url, "select 1") == (1,)


def test_programs_out_of_reach_are_copied_and_run_from_there(monkeypatch):
    with closed_home() as home:
        reaches = place.nobody_reaches
        package = place._package()
        monkeypatch.setattr(
            place, "nobody_reaches", lambda path: package not in path.parents and reaches(path)
        )
        with EmbeddedPostgres(home, fsync=False) as server:
            assert package not in server.place.programs.parents
            assert psutil.Process(server.process.pid).exe() == str(
                server.place.programs / "postgres"
            )
            assert one(server.app_url, "select 1") == (1,)


def test_removing_a_home_removes_what_it_keeps_outside():
    with closed_home() as home:
        server = EmbeddedPostgres(home, fsync=False)
        server.start()
        cluster = server.place.cluster
        assert cluster.is_dir()

        server.destroy()

        assert not cluster.exists()
        assert not cluster.parent.exists() or cluster.parent == home
        assert not ports.is_listening(
            int(psycopg.conninfo.conninfo_to_dict(url_of(server))["port"])
        )


def url_of(server: EmbeddedPostgres) -> str:
    server.home.write("postgres.json", {"port": 1, "app_password": "gone"})
    return server.app_url


@pytest.mark.parametrize("orphaned", [True, False])
def test_a_sweep_removes_the_clusters_of_homes_that_are_gone_and_no_others(
    orphaned, tmp_path, monkeypatch
):
    monkeypatch.setattr(place, "OUTSIDE", tmp_path / "outside")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid or 0)
    home = Home(tmp_path / "home").create()
    folder = tmp_path / "outside" / "0123456789abcdef"
    home.write("place.json", {"outside": str(folder)})
    place._make_outside(home, folder)
    if orphaned:
        (home.path / "place.json").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    place.sweep()

    assert folder.exists() is not orphaned


def test_a_server_whose_launcher_was_killed_makes_way_for_the_next():
    script = (
        "import json, signal, sys, time; from config.local.postgres import EmbeddedPostgres;"
        "server = EmbeddedPostgres(sys.argv[1], fsync=False); server.start();"
        "print(json.dumps([server.process.pid, server.place.cluster.as_posix()]), flush=True);"
        "time.sleep(600)"
    )
    with closed_home() as home:
        launcher = subprocess.Popen(
            [sys.executable, "-c", script, str(home)],
            cwd=ROOT,
            env=clean_environ(),
            stdout=subprocess.PIPE,
        )
        pid, _ = json.loads(launcher.stdout.readline())
        server = psutil.Process(pid)
        assert server.is_running()

        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        launcher.stdout.close()

        with EmbeddedPostgres(home, fsync=False) as again:
            assert one(again.app_url, "select 1") == (1,)
            eventually(lambda: not server.is_running())
