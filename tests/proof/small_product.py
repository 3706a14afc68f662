"""Web, workers and beat under the real supervisor, for the suite's own database; run as a script.

What takes long or isn't needed is left out: the database is set up already, and nothing is
provisioned.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from config.local.home import Home
from config.local.supervisor import serve
from config.processes import COMMANDS

IDLE = "import time; time.sleep(600)"


def idle(environ: Mapping[str, str]) -> list[str]:
    return [sys.executable, "-c", IDLE]


def nothing(environ: Mapping[str, str]) -> list[str]:
    return [sys.executable, "-c", ""]


if __name__ == "__main__":
    parts = {"setup": nothing, "provisioner": idle}
    sys.exit(serve(Home.of(), os.environ, {**COMMANDS, **parts}))
