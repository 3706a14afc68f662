"""What `config/defaults.env` says, for Python.

The file is read by `docker compose --env-file` too, so a name, port or limit that both sides must
agree on is written down once. An environment variable of the same name wins over it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PATH = Path(__file__).with_name("defaults.env")


def parse(text: str) -> dict[str, str]:
    """Read NAME=value lines; blank lines and whole-line comments don't count."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


DEFAULTS: Mapping[str, str] = parse(PATH.read_text())


def shared(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The value of a shared setting: the environment's if it has one, else the file's."""
    return (os.environ if environ is None else environ).get(name) or DEFAULTS[name]
