"""The processes of the product and the command that each one is.

`make run` and the containers start the same commands: the supervisor takes them from here, and
`python -m config.processes NAME` becomes one of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from config.defaults import shared
from config.local.home import Home

ROOT = Path(__file__).resolve().parent.parent
# These alone may hold DATABASE_OWNER_URL; the others refuse to start with it.
OWNER_PROCESSES = frozenset({"setup", "provisioner"})


def web(environ: Mapping[str, str]) -> list[str]:
    """ASGI server. Forwarded headers count only where FORWARDED_ALLOW_IPS names a proxy."""
    proxied = "--proxy-headers" if environ.get("FORWARDED_ALLOW_IPS") else "--no-proxy-headers"
    return [
        *(sys.executable, "-m", "uvicorn", "config.asgi:application"),
        *("--host", environ.get("WEB_HOST", "127.0.0.1"), "--port", shared("PORT", environ)),
        *("--workers", shared("WEB_WORKERS", environ)),
        *("--loop", "uvloop", "--http", "httptools", "--log-level", "warning"),
        *("--no-server-header", "--no-access-log", proxied),
        # On a busy machine a healthy worker may answer its ping later than after the default 5 s.
        *("--timeout-keep-alive", "75", "--timeout-worker-healthcheck", "30"),
        *("--timeout-graceful-shutdown", shared("WEB_GRACEFUL_SECONDS", environ)),
    ]


def worker(environ: Mapping[str, str]) -> list[str]:
    """Jobs of requests and schedules, as the app login."""
    return _celery_worker(
        "worker", shared("QUEUE_DEFAULT", environ), shared("WORKER_CONCURRENCY", environ)
    )


def provisioner(environ: Mapping[str, str]) -> list[str]:
    """Creates, migrates and erases orgs, one at a time, as the owner login."""
    return _celery_worker("provisioner", shared("QUEUE_PROVISIONER", environ), "1")


def beat(environ: Mapping[str, str]) -> list[str]:
    """Sweeps every few seconds, as the app login: reaps, keeps deadlines, wakes who should work.

    By itself and not by a job: a queue may be long, its broker down, and every worker busy.
    """
    return [sys.executable, str(ROOT / "manage.py"), "sweep"]


def setup(environ: Mapping[str, str]) -> list[str]:
    """One-shot before the others: migrates the shared schema and every org."""
    return [sys.executable, str(ROOT / "manage.py"), "setup"]


Commands = Mapping[str, Callable[[Mapping[str, str]], list[str]]]
COMMANDS: Commands = {part.__name__: part for part in (setup, web, worker, provisioner, beat)}


def _celery_worker(name: str, queue: str, concurrency: str) -> list[str]:
    """Without gossip: nothing here elects or watches, and mingling costs a second at start."""
    return [
        *(sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", "worker"),
        *("--loglevel", "warning", "--hostname", f"{name}@%h"),
        *("--queues", queue, "--concurrency", concurrency),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def main(argv: list[str]) -> None:
    """Become the named process: its pid gets the signals, its exit code is the container's."""
    if len(argv) != 1 or argv[0] not in COMMANDS:
        raise SystemExit(f"usage: python -m config.processes {{{'|'.join(COMMANDS)}}}")
    Home.of().create()
    environ = {**os.environ, "MANDATE_PROCESS": argv[0]}
    command = COMMANDS[argv[0]](environ)
    os.execve(command[0], command, environ)  # noqa: S606 - our own command, no shell wanted


if __name__ == "__main__":
    main(sys.argv[1:])
