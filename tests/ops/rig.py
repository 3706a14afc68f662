"""Runs the tiny product under the real supervisor and looks at it from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from config.local import place, ports
from config.local.home import Home

SCRIPT = Path(__file__).with_name("tiny_product.py")
# What the suite's own services put into the environment must not replace the embedded ones here.
FOREIGN = ("DATABASE_", "REDIS_", "TEST_", "MANDATE_", "SECRET_", "PUBLIC_", "MAKE", "DJANGO_")


@contextlib.contextmanager
def closed_home() -> Iterator[Path]:
    """A home under a folder that nobody else may enter, removed with what it keeps outside."""
    with tempfile.TemporaryDirectory(prefix="mandate-ops-") as parent:
        home = Path(parent, "home")
        assert Path(parent).stat().st_mode & 0o777 == 0o700
        yield home
        place.remove(Home(home))


def eventually(condition: Callable[[], object], *, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def clean_environ(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)} | more


def _as_foreground() -> None:
    for sig in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_DFL)


def _as_background() -> None:
    for sig in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_IGN)


class Instance:
    """One supervised tiny product; `output` is what it printed so far.

    A terminal's shell starts it so that Ctrl-C reaches it, or in the background so that it doesn't,
    however the tests themselves were started.
    """

    def __init__(
        self,
        home: Path,
        *,
        command: list[str] | None = None,
        stdout: int | None = None,
        port: int | None = None,
        in_background: bool = False,
        **environ: str,
    ) -> None:
        self.home = Home(home)
        self.port = port or ports.pick(None)
        self.environ = clean_environ(MANDATE_HOME=str(home), PORT=str(self.port), **environ)
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the instance
        self.process = subprocess.Popen(
            command or [sys.executable, str(SCRIPT)],
            env=self.environ,
            stdout=stdout or self.printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_as_background if in_background else _as_foreground,
        )

    @property
    def output(self) -> str:
        return os.pread(self.printed.fileno(), 1_000_000, 0).decode()

    def wait_ready(self) -> "Instance":
        eventually(lambda: "Mandate is ready" in self.output or self.process.poll() is not None)
        assert self.process.poll() is None, self.output
        return self

    def ask(self) -> dict:
        """What `web` says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return json.load(answer)

    def seen(self, name: str) -> dict:
        """What another process noted about itself."""
        path = self.home.path / f"{name}.seen"
        eventually(lambda: path.exists() and path.read_text())
        return json.loads(path.read_text())

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def finish(self, *, within: float = 30) -> int:
        return self.process.wait(within)


@contextlib.contextmanager
def running(home: Path, **options: object) -> Iterator[Instance]:
    """A served instance; whatever the test leaves running is ended, and only that."""
    instance = Instance(home, **options)
    try:
        yield instance
    finally:
        if instance.process.poll() is None:
            family = instance.family()
            instance.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                instance.finish()
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            instance.process.wait()
        instance.printed.close()


def names_left(family: list[psutil.Process]) -> list[str]:
    """The command lines of those still alive."""
    alive = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(" ".join(process.cmdline()))
    return alive
