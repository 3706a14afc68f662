"""An embedded Postgres: the programs of a Python package under our own launcher.

The server is a direct child of whoever starts it (no pg_ctl, no daemon), listens on the loopback
address alone, has no Unix socket, and takes nothing but SCRAM passwords, which are random and kept
in the home. It is stopped by SIGINT, Postgres' "fast" shutdown.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.defaults import shared
from config.local import place, ports, process
from config.local.home import Home

ADMIN = "postgres"
ROLES_SQL = Path(__file__).resolve().parent.parent / "postgres" / "roles.sql"
START_SECONDS = 60.0
STOP_SECONDS = 5.0


class PostgresFailed(RuntimeError):
    """The server or `initdb` gave up; the message ends with what it wrote."""


class EmbeddedPostgres:
    """One cluster in one home. `fsync=False` is for tests: a power cut may destroy the cluster."""

    def __init__(self, home: Path | str, *, fsync: bool = True) -> None:
        self.home = Home.of(home)
        self.fsync = fsync
        self.process: subprocess.Popen[bytes] | None = None
        self.database = shared("POSTGRES_DB")
        self._place: place.Place | None = None

    @property
    def place(self) -> place.Place:
        """Where the cluster and the programs are; found once."""
        if self._place is None:
            self._place = place.find(self.home)
        return self._place

    @property
    def log(self) -> Path:
        return self.home.path / "log" / "postgres.log"

    @property
    def port(self) -> int:
        return int(self.home.read("postgres.json")["port"])

    @property
    def app_url(self) -> str:
        """The login that serves: DML only."""
        return self._url(shared("POSTGRES_APP_ROLE"), "app_password")

    @property
    def owner_url(self) -> str:
        """The login that migrates, creates and erases."""
        return self._url(shared("POSTGRES_OWNER_ROLE"), "owner_password")

    @property
    def admin_url(self) -> str:
        """The superuser, for the launcher and for test set-up; no process of the product has it."""
        return self._url(ADMIN, "admin_password", database=ADMIN)

    def start(self) -> dict[str, str]:
        """Make the cluster if there is none, serve it, and wait until both logins work."""
        self.home.create()
        self._remember()
        self._make_cluster()
        self._keep_last_log()
        self.spawn()
        self._wait_until_ready()
        self._prepare_database()
        return {"DATABASE_URL": self.app_url, "DATABASE_OWNER_URL": self.owner_url}

    def spawn(self) -> None:
        """Start the server as a direct child without waiting for it, at the remembered port."""
        with self.log.open("ab") as log:
            self.process = process.spawn(
                [self.place.programs / "postgres", "-D", self.place.cluster, *self._options()],
                output=log,
                env={"LC_ALL": "C.UTF-8", "PGTZ": "UTC"},
                death_signal=signal.SIGINT,
                unprivileged=True,
            )

    def stop(self, *, within: float = STOP_SECONDS) -> None:
        """Fast shutdown: open transactions roll back, what was committed is on disk."""
        if self.process is not None:
            process.stop(self.process, signal.SIGINT, within=within)
            self.process = None

    def destroy(self) -> None:
        """Stop and remove the cluster, inside the home and outside of it."""
        self.stop()
        place.remove(self.home)
        (self.home.path / "postgres.json").unlink(missing_ok=True)
        self._place = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def _url(self, user: str, password: str, *, database: str | None = None) -> str:
        known = self.home.read("postgres.json")
        login = f"{user}:{quote(known[password], safe='')}"
        return f"postgresql://{login}@{ports.LOOPBACK}:{known['port']}/{database or self.database}"

    def _remember(self) -> None:
        """Keep passwords and port; a remembered port that something else took is chosen anew."""
        known = self.home.read("postgres.json")
        self._end_leftover()
        port = ports.pick(known.get("port"))
        passwords = {
            name: known.get(name) or secrets.token_urlsafe(24)
            for name in ("admin_password", "owner_password", "app_password")
        }
        if {"port": port, **passwords} != known:
            self.home.write("postgres.json", {"port": port, **passwords})

    def _keep_last_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.1"))

    def _make_cluster(self) -> None:
        """Run initdb into a draft that is renamed at the end: a cluster is there whole or not."""
        cluster = self.place.cluster
        if (cluster / "PG_VERSION").exists():
            return
        draft = cluster.with_name("postgres.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        place.give_to_nobody(draft)
        password = draft.with_name("password")
        try:
            _write_for_nobody(password, self.home.read("postgres.json")["admin_password"])
            self._initdb(draft, password)
        finally:
            password.unlink(missing_ok=True)
        draft.rename(cluster)

    def _initdb(self, cluster: Path, password: Path) -> None:
        done = subprocess.run(
            [
                *(str(self.place.programs / "initdb"), "-D", str(cluster), "-U", ADMIN),
                *("--auth-host=scram-sha-256", "--auth-local=reject", f"--pwfile={password}"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
                *(() if self.fsync else ("--no-sync",)),
            ],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
            **process.as_nobody(),  # type: ignore[call-overload]
        )
        if done.returncode != 0:
            raise PostgresFailed(f"initdb failed:\n{done.stdout.decode()}")

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": ports.LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": shared("POSTGRES_MAX_CONNECTIONS"),
            "max_locks_per_transaction": shared("POSTGRES_MAX_LOCKS_PER_TRANSACTION"),
            "log_checkpoints": "off",
        }
        if not self.fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _end_leftover(self) -> None:
        """End a server whose launcher was killed a moment ago; the lock says nobody uses it."""
        pid_file = self.place.cluster / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int(pid_file.read_text().split("\n", 1)[0])
            if self._is_ours(pid):
                os.kill(pid, signal.SIGINT)
                process.wait_until(lambda: not process.is_alive(pid), within=STOP_SECONDS)

    def _is_ours(self, pid: int) -> bool:
        """Whether that process is a server of this very cluster, not one that reuses the number."""
        command = Path(f"/proc/{pid}/cmdline")
        return command.exists() and os.fsencode(self.place.cluster) in command.read_bytes().split(
            b"\0"
        )

    def _wait_until_ready(self) -> None:
        def over() -> bool:
            return self._answers() or self.process is None or self.process.poll() is not None

        process.wait_until(over, within=START_SECONDS)
        if not self._answers():
            self.stop()
            raise PostgresFailed(f"Postgres did not start; {self.log} ends with:\n{self._tail()}")

    def _answers(self) -> bool:
        """Whether this child (not a stranger on its port) takes the superuser's password."""
        if (
            self.process is None
            or self.process.poll() is not None
            or not ports.is_listening(self.port)
        ):
            return False
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.admin_url, connect_timeout=5).close()
            return True
        return False

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def _prepare_database(self) -> None:
        """Make the database and both logins; running it again changes nothing."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            query = "select from pg_database where datname = %s"
            if admin.execute(query, [self.database]).fetchone() is None:
                admin.execute(sql.SQL("create database {}").format(sql.Identifier(self.database)))
        self.apply_roles(self.database)

    def apply_roles(self, database: str) -> None:
        """Run `config/postgres/roles.sql` in a database of this cluster."""
        known = self.home.read("postgres.json")
        url = self._url(ADMIN, "admin_password", database=database)
        # Logins belong to the cluster: two who make them at once, in whatever databases, would trip
        # over each other. Advisory locks are a database's, so the lock is taken in a common one.
        with psycopg.connect(self.admin_url) as common, psycopg.connect(url) as admin:
            common.execute("select pg_advisory_xact_lock(hashtext('mandate.roles'))")
            for role in ("owner", "app"):
                setting = [f"mandate.{role}_password", known[f"{role}_password"]]
                admin.execute("select set_config(%s, %s, false)", setting)
            admin.execute(ROLES_SQL.read_bytes())
            admin.commit()


def _write_for_nobody(path: Path, text: str) -> None:
    """A file that the user who runs Postgres can read, and nobody without that name."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    place.give_to_nobody(path)
