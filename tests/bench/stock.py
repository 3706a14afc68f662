"""A Django project as it comes: the same URLs and middleware behind Django's own ASGI handler."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e import product

READY_SECONDS = 60.0


@contextmanager
def serving(running: product.Product) -> Iterator[tuple[int, int]]:
    """Serve it beside the product as `web` is served; gives the port and the process' id."""
    port = product.free_port()
    environ = {**os.environ, "MANDATE_HOME": str(running.home), "MANDATE_PROCESS": "web"}
    command = [
        *(sys.executable, "-m", "uvicorn", "tests.bench.stock_asgi:application"),
        *("--port", str(port), "--workers", os.environ.get("WEB_WORKERS", "2")),
        *("--loop", "uvloop", "--http", "httptools", "--log-level", "warning"),
        *("--no-server-header", "--no-access-log", "--timeout-keep-alive", "75"),
    ]
    with subprocess.Popen(command, cwd=product.ROOT, env=environ) as process:
        try:
            _wait_for(port)
            yield port, process.pid
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://localhost:{port}/bench/bare", timeout=5).close()  # noqa: S310
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.25)
