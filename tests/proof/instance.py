"""A served product whose processes can be counted, stopped and killed, and whose rows can be read.

It is started as `make run` starts it. The tests speak to it by HTTP alone; they look into its
database as nobody of the product can, as its superuser.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import psutil
import psycopg
import redis
from psycopg.rows import dict_row

from config.defaults import shared
from config.local import ports
from config.local.home import instance_env
from config.local.postgres import EmbeddedPostgres
from tests.e2e.product import PASSED_ON, READY_SECONDS, ROOT, STOP_SECONDS, Product
from tests.proof.client import Client

Kind = Literal["web", "worker"]
OWNER: Final = "owner@acme.example"
_LEADERS: Final = {"web": "uvicorn", "worker": "worker@%h"}
_CHILDREN: Final = {"web": "spawn_main", "worker": "worker@%h"}


@dataclass(frozen=True)
class Instance(Product):
    """One running instance; `log` is what its supervisor and all its processes wrote."""

    log: Path
    admin_url: str

    def client(self, org: str = "acme") -> Client:
        """Somebody with an API key of the org's owner, in an org where no policy counts: the one
        that orgs begin with has a person asked before an http agent works.
        """
        client = Client(self.port, self.manage("apikey", "--org", org, "--user", OWNER))
        client.detach_policies()
        return client

    def make_org(self, slug: str) -> Client:
        """A fresh org, and its owner's client."""
        self.manage("create_org", slug, "--slug", slug, "--owner", OWNER)
        return self.client(slug)

    def manage(self, *words: str) -> str:
        """What a management command prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env=_environ(self.home),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def leader(self, kind: Kind) -> psutil.Process | None:
        """The process that the supervisor started, which keeps the others of its kind."""
        for process in psutil.Process(self.process.pid).children():
            if _LEADERS[kind] in _command(process):
                return process
        return None

    def members(self, kind: Kind) -> list[psutil.Process]:
        """The processes of a kind that carry out runs."""
        leader = self.leader(kind)
        try:
            below = leader.children() if leader else []
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if _CHILDREN[kind] in _command(process)]

    def holder_of(self, port: int) -> psutil.Process:
        """The process at our end of a connection."""
        for process in self.members("web") + self.members("worker"):
            for connection in process.net_connections("tcp"):
                if connection.laddr.port == port:
                    return process
        raise AssertionError(f"nobody holds port {port}")

    def stop_postgres_at_once(self) -> None:
        """As by `pg_ctl stop -m immediate`: no checkpoint, no farewell; its start recovers."""
        [postmaster] = [
            process
            for process in psutil.Process(self.process.pid).children()
            if process.name() == "postgres"
        ]
        postmaster.send_signal(signal.SIGQUIT)

    def flush_valkey(self) -> None:
        with redis.Redis.from_url(instance_env(self.home)["REDIS_URL"]) as client:
            client.flushall()

    def database(self, org: str = "acme") -> psycopg.Connection[dict[str, Any]]:
        """The superuser's connection, on the org's schema; every statement is its own commit."""
        connection = psycopg.connect(self.admin_url, autocommit=True, row_factory=dict_row)
        row = connection.execute(
            "select schema_name from tenants_org where slug = %s", [org]
        ).fetchone()
        assert row is not None
        connection.execute("select set_config('search_path', %s, false)", [row["schema_name"]])
        return connection


def start(home: Path, **environ: str) -> Instance:
    """Serve from `home` on a free port, as `make run` does; returns once all of it works."""
    launched = launch(home, [sys.executable, "-m", "config.local", "run"], environ)
    url = EmbeddedPostgres(home).admin_url.rpartition("/")[0]
    return replace(launched, admin_url=f"{url}/{shared('POSTGRES_DB')}")


def start_small(home: Path, *, admin_url: str, **environ: str) -> Instance:
    """Serve a database that is there already, by as few processes as will do."""
    script = Path(__file__).with_name("small_product.py")
    return replace(launch(home, [sys.executable, str(script)], environ), admin_url=admin_url)


def launch(home: Path, command: list[str], environ: Mapping[str, str]) -> Instance:
    """Start a supervisor, and wait until web and workers are there."""
    log_path, port = home.parent / "run.log", ports.pick(None)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environ(home) | {"PORT": str(port)} | dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    instance = Instance(port, home, process, log_path, admin_url="")
    deadline = time.monotonic() + READY_SECONDS
    while not (instance.members("web") and instance.members("worker")):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            process.wait(STOP_SECONDS)
            raise RuntimeError(f"not served:\n{log_path.read_text()[-4000:]}")
        time.sleep(0.1)
    return instance


def _environ(home: Path) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed_on | {"MANDATE_HOME": str(home)}


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
