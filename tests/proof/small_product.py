"""Web and workers under the real supervisor, for the suite's own database; started as a script.

What takes long or isn't needed is left out: the database is set up already, nothing is provisioned,
and the beat is a loop that asks for a sweep every second.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from celery import Celery

from config.local.home import Home
from config.local.supervisor import serve
from config.processes import COMMANDS

IDLE = "import time; time.sleep(600)"


def beat(environ: Mapping[str, str]) -> list[str]:
    return [sys.executable, __file__, "beat"]


def idle(environ: Mapping[str, str]) -> list[str]:
    return [sys.executable, "-c", IDLE]


def nothing(environ: Mapping[str, str]) -> list[str]:
    return [sys.executable, "-c", ""]


def ask_for_sweeps(redis_url: str) -> None:
    """Send the sweeper's message every second; one that isn't taken at once is late and dropped."""
    app = Celery(broker=redis_url)
    while True:
        app.send_task("tenants.sweep", queue="default", expires=1)
        time.sleep(1)


if __name__ == "__main__":
    if sys.argv[1:] == ["beat"]:
        ask_for_sweeps(os.environ["REDIS_URL"])
    parts = {"setup": nothing, "provisioner": idle, "beat": beat}
    sys.exit(serve(Home.of(), os.environ, {**COMMANDS, **parts}))
