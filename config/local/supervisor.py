"""`make run`: every process of the product in the foreground, under one supervisor.

One thread, one loop: it passes on what the children write, starts again what dies, and on SIGINT,
SIGTERM or SIGHUP ends them in order. Nothing may be left behind: a part that doesn't go in its time
is killed with its whole process group, and if the supervisor itself is killed the kernel tells the
children (see `process`).
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from config import processes
from config.defaults import shared
from config.health import why_not_ready
from config.local import fingerprint, ports, process, welcome
from config.local.console import Console
from config.local.home import OWNER_URL, Home, write_instance
from config.local.parts import Child, Part, Server
from config.local.postgres import EmbeddedPostgres
from config.local.valkey import EmbeddedValkey

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Who ends together, in which order, and how long they may take before they are killed. A job that
# web enqueues while workers end is lost with Valkey; its row is the outbox, so a sweep finds it.
STOP_ORDER = (
    (("setup", "web", "worker", "provisioner", "beat"), 5.0),
    (("valkey",), 1.0),
    (("postgres",), 10.0),
)
READY_NOTICE_SECONDS = 30.0
# Lines that come within this time are passed on together: one by one each request would wake us.
GATHER_SECONDS = 0.02
# What the database was last set up with; see `fingerprint`.
SET_UP = "setup.json"


class CannotRun(RuntimeError):
    """The product can't be served as things are; the message says what to change."""


class Stopped(Exception):
    """A signal asked the supervisor to end."""


class Supervisor:
    """Serves one home until it is told to stop."""

    def __init__(
        self, home: Home, environ: Mapping[str, str], commands: processes.Commands
    ) -> None:
        self.home = home
        self.environ = environ
        self.commands = commands
        self.parts: dict[str, Part] = {}
        self.console = Console(home.path / "log" / "run.log")
        self.selector = selectors.DefaultSelector()
        self.signals = 0
        self.instance: dict[str, str] = {}
        self.owner_url = ""

    def run(self) -> int:
        """Serve; 0 once stopped by a signal, 1 when it could not start."""
        self._listen_to_signals()
        try:
            self._start()
            while True:
                self._turn()
        except Stopped:
            self.say("Stopping…")
            return 0
        except (CannotRun, RuntimeError, OSError) as error:
            self.say(f"Cannot run: {error}")
            return 1
        finally:
            self._stop_all()
            self.say("Stopped.")

    def say(self, text: str) -> None:
        self.console.say("run", text)

    # Starting

    def _start(self) -> None:
        self._check_port()
        database_url, self.owner_url = self._start_postgres()
        redis_url = self._start_valkey()
        self.instance = write_instance(
            self.home,
            database_url=database_url,
            owner_url=self.owner_url,
            redis_url=redis_url,
            environ=self.environ,
        )
        self._bring_up_to_date()
        self._start_children("web", "provisioner")
        self._wait_until_ready()
        # Each costs seconds of imports, so what no page waits for comes after the pages.
        self._start_children("worker", "beat")
        self.console.print(welcome.text(self.instance, self._settings()))

    def _check_port(self) -> None:
        """Refuse a port in use at once; one that a killed instance is leaving gets some seconds."""
        port = int(shared("PORT", self.environ))
        if not process.wait_until(lambda: ports.is_free(port), within=5):
            raise CannotRun(f"port {port} is in use; set PORT to another one")

    def _start_postgres(self) -> tuple[str, str]:
        """The URLs of both logins: the environment's, else those of the embedded server."""
        given = self.environ.get("DATABASE_URL"), self.environ.get(OWNER_URL)
        if given[0] and given[1]:
            return given[0], given[1]
        if any(given):
            raise CannotRun(
                "DATABASE_URL and DATABASE_OWNER_URL go together: the product serves with the first"
                " login and migrates with the second (config/postgres/roles.sql makes both)"
            )
        server = EmbeddedPostgres(self.home.path)
        fresh = not (self.home.path / "postgres.json").exists()
        self.say("Creating the Postgres cluster…" if fresh else "Starting Postgres…")
        self._add("postgres", server, stop_signal=signal.SIGINT)
        server.start()
        return server.app_url, server.owner_url

    def _start_valkey(self) -> str:
        if url := self.environ.get("REDIS_URL"):
            return url
        self.say("Starting Valkey…")
        server = EmbeddedValkey(self.home.path)
        self._add("valkey", server)
        return server.start()

    def _start_children(self, *names: str) -> None:
        for name in names:
            self._add(name, self._child(name)).start()

    def _bring_up_to_date(self) -> None:
        """Set up, unless this very code already did so over this home's own cluster."""
        code = fingerprint.of_code(processes.ROOT, self._settings())
        if "postgres" in self.parts and self.home.read(SET_UP).get("code") == code:
            return
        self._set_up()
        self.home.write(SET_UP, {"code": code})

    def _set_up(self) -> None:
        """Run the one-shot that migrates; nothing else is started before it has succeeded."""
        self.say("Migrating and setting up…")
        part = self._add("setup", self._child("setup"))
        part.start()
        while part.is_running():
            self._turn()
        self._pass_on(part)
        code = part.process.returncode if part.process else None
        del self.parts["setup"]
        if code != 0:
            raise CannotRun(f"setting up failed with exit code {code}; the lines above say why")

    def _child(self, name: str) -> Child:
        env = self._env_of(name)
        celery = name in ("worker", "provisioner")
        return Child(
            self.commands[name](env),
            env,
            cwd=str(processes.ROOT),
            # At SIGTERM Celery waits for running tasks; without a supervisor nobody would end it.
            death_signal=signal.SIGQUIT if celery else signal.SIGTERM,
        )

    def _env_of(self, name: str) -> dict[str, str]:
        """What a process may know; the owner's login goes to provisioner and one-shots alone."""
        env = {**self.environ, **self.instance, "DJANGO_SETTINGS_MODULE": self._settings()}
        env |= {"MANDATE_PROCESS": name, "PYTHONUNBUFFERED": "1"}
        env.pop(OWNER_URL, None)
        return env | ({OWNER_URL: self.owner_url} if name in processes.OWNER_PROCESSES else {})

    def _settings(self) -> str:
        return self.environ.get("DJANGO_SETTINGS_MODULE", "config.settings.dev")

    def _wait_until_ready(self) -> None:
        """Wait for `/readyz`; what is missing is said now and then, while everything goes on."""
        self.say("Waiting for the product to be ready…")
        notice_at = time.monotonic() + READY_NOTICE_SECONDS
        while answer := why_not_ready(self.instance):
            if time.monotonic() > notice_at:
                self.say(f"Still not ready: {answer}")
                notice_at += READY_NOTICE_SECONDS
            self._turn(0.1)

    # Running

    def _add(
        self, name: str, server: Server, *, stop_signal: signal.Signals = signal.SIGTERM
    ) -> Part:
        self.parts[name] = Part(name, server, stop_signal=stop_signal)
        return self.parts[name]

    def _turn(self, timeout: float = 1.0) -> None:
        """One round of the loop: output, deaths, restarts; raises `Stopped` once asked to."""
        self._pump(timeout)
        if self.signals:
            raise Stopped
        for part in self.parts.values():
            if part.name != "setup":
                self._keep_running(part)

    def _pump(self, timeout: float) -> None:
        """Pass on output; returns early when there is some, or when a signal came."""
        for part in self.parts.values():
            stdout = part.process.stdout if part.process else None
            if stdout is not None and not stdout.closed and stdout not in self._watched():
                self.selector.register(stdout, selectors.EVENT_READ, part)
        for key, _ in self.selector.select(timeout):
            if isinstance(key.data, Part):
                self._pass_on(key.data)
            else:
                os.read(key.fd, 1024)
                return
        time.sleep(GATHER_SECONDS)

    def _watched(self) -> set[object]:
        return {key.fileobj for key in self.selector.get_map().values()}

    def _pass_on(self, part: Part) -> None:
        stdout = part.process.stdout if part.process else None
        if lines := part.take_lines():
            self.console.say(part.name, "\n".join(lines))
        if stdout is not None and stdout.closed and stdout in self._watched():
            self.selector.unregister(stdout)

    def _keep_running(self, part: Part) -> None:
        if part.due_at is not None:
            if time.monotonic() >= part.due_at:
                self.say(f"Starting {part.name} again…")
                part.start()
        elif part.process is not None and not part.is_running():
            self._pass_on(part)
            code, delay = part.bury()
            self.say(f"{part.name} ended with {_exit(code)}; starting it again in {delay:g} s")

    # Stopping

    def _listen_to_signals(self) -> None:
        """Count signals, never raise: an exception between fork and bookkeeping leaks a child."""
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.selector.register(reader, selectors.EVENT_READ, None)

        def count(number: int, frame: object) -> None:
            self.signals += 1

        for sig in STOP_SIGNALS:
            signal.signal(sig, count)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _stop_all(self) -> None:
        """End all parts in order; a second signal cuts every wait short."""
        first = self.signals
        for names, seconds in STOP_ORDER:
            group = [self.parts[name] for name in names if name in self.parts]
            for part in group:
                part.ask_to_stop()
            self._wait_for_end(group, seconds, lambda: self.signals > first)
            for part in group:
                if part.is_running():
                    self.say(f"{part.name} did not end in {seconds:g} s and is killed")
                part.kill()
                self._pass_on(part)

    def _wait_for_end(
        self, group: Sequence[Part], seconds: float, hurry: Callable[[], bool]
    ) -> None:
        deadline = time.monotonic() + seconds
        while any(part.is_running() for part in group) and time.monotonic() < deadline:
            if hurry():
                return
            self._pump(0.1)


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def serve(
    home: Home, environ: Mapping[str, str], commands: processes.Commands = processes.COMMANDS
) -> int:
    """Serve `home` in this process until a signal ends it."""
    if "MAKELEVEL" in environ:
        # `make` passes SIGTERM on by itself, but nobody does when it is killed outright.
        process.die_with_parent(signal.SIGTERM)
    home.create()
    with home.lock():
        return Supervisor(home, environ, commands).run()
