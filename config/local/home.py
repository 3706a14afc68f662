"""`MANDATE_HOME`: where one instance keeps all of its state.

    instance.json   what every process needs to know (0600): URLs, secrets, port
    owner.json      the owner's database URL (0600): provisioner and one-shot commands alone read it
    postgres.json   passwords, port and place of the embedded cluster (0600)
    valkey.json     password and port of the embedded Valkey (0600)
    setup.json      which code the database was last set up by
    postgres/       the cluster, unless it has to live elsewhere (see `place`)
    mail/ media/ log/
    lock            held by the one supervisor of this home

Two instances side by side are two homes and two ports; nothing else is shared.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.defaults import shared

FOLDERS = ("mail", "media", "log")
OWNER_URL = "DATABASE_OWNER_URL"


class HomeInUse(RuntimeError):
    """Another supervisor already serves from this home."""


@dataclass(frozen=True)
class Home:
    """One instance's folder; `path` is absolute, because children run in other folders."""

    path: Path

    @classmethod
    def of(cls, path: Path | str | None = None) -> Home:
        """The home named by the argument, else by MANDATE_HOME, else `.mandate` right here."""
        return cls(Path(path or os.environ.get("MANDATE_HOME") or ".mandate").absolute())

    def create(self) -> Home:
        """Make the folders; as root others may pass through (never list), for Postgres' sake."""
        mode = 0o711 if os.geteuid() == 0 else 0o700
        if not self.path.is_dir():
            self.path.mkdir(parents=True)
            self.path.chmod(mode)
        for name in FOLDERS:
            folder = self.path / name
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(0o700)
        return self

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of this home; empty if there is none yet."""
        try:
            value = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        if not isinstance(value, dict):
            raise ValueError(f"{self.path / name} does not hold a JSON object")
        return value

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a JSON file atomically; readable by its owner alone from its first byte."""
        text = json.dumps(value, indent=2)
        draft = self.path / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / name)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only supervisor of this home; the kernel lets go when the process dies."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode() or "unknown"
                raise HomeInUse(
                    f"{self.path} is already served by process {holder}; "
                    "set MANDATE_HOME and PORT for a second instance"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)


def instance_env(home: Path | str | None = None) -> dict[str, str]:
    """Environment of the instance that lives in `home`, so a second shell's manage.py finds it.

    Never holds the owner's URL. Empty before the first start.
    """
    return {name: str(value) for name, value in Home.of(home).read("instance.json").items()}


def owner_env(home: Path | str | None = None) -> dict[str, str]:
    """The owner's database URL, for the supervisor and commands that need the owner explicitly."""
    return {name: str(value) for name, value in Home.of(home).read("owner.json").items()}


def new_secrets() -> dict[str, str]:
    """The two secrets an instance is born with: Django's key and the key-encryption key."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "MANDATE_KEK": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def write_instance(
    home: Home, *, database_url: str, owner_url: str, redis_url: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Record what this start serves with; secrets once made stay, the environment's word wins."""
    before = {**new_secrets(), **instance_env(home.path)}
    port = shared("PORT", environ)
    instance = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": environ.get("SECRET_KEY") or before["SECRET_KEY"],
        "MANDATE_KEK": environ.get("MANDATE_KEK") or before["MANDATE_KEK"],
        "PORT": port,
        "PUBLIC_URL": environ.get("PUBLIC_URL") or f"http://localhost:{port}",
        "MANDATE_HOME": str(home.path),
    }
    home.write("instance.json", instance)
    home.write("owner.json", {OWNER_URL: owner_url})
    return instance
