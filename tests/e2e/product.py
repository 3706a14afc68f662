"""The product under test: started as `make run` starts it, and looked for after its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 180.0
STOP_SECONDS = 40.0
# Nothing of the suite's own services may leak into the product, or it would serve from them.
PASSED_ON = ("PATH", "HOME", "LANG", "TZ")


@dataclass(frozen=True)
class Product:
    """One running instance and its addresses."""

    port: int
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def apex(self) -> str:
        return f"http://localhost:{self.port}"

    def org(self, slug: str) -> str:
        return f"http://{slug}.localhost:{self.port}"

    def serves(self, url: str) -> bool:
        """Whether an address is the product's own, or one that needs no host at all."""
        parts = urlsplit(url)
        if parts.scheme in ("data", "blob", "about"):
            return True
        host = parts.hostname or ""
        is_own = host == "localhost" or host.endswith(".localhost")
        return parts.scheme == "http" and is_own and parts.port == self.port

    def api_status(self, path: str, *, key: str, slug: str = "") -> tuple[int, dict[str, object]]:
        """What `path` answers to a key."""
        return self.api("GET", path, key=key, slug=slug)

    def api(
        self, method: str, path: str, body: Any = None, *, key: str, slug: str = ""
    ) -> tuple[int, Any]:
        """What a request with a key is answered; asked by address, as not all resolvers know
        *.localhost.
        """
        host = f"{slug}.localhost" if slug else "localhost"
        request = urllib.request.Request(  # noqa: S310 - the scheme is written here
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Host": f"{host}:{self.port}",
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def manage(self, *arguments: str) -> str:
        """What a command of `manage.py` prints, run as an operator of this instance does."""
        environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=environ | {"MANDATE_HOME": str(self.home)},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def stop(self) -> None:
        """End it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)

    def leftovers(self) -> list[str]:
        """Processes of this instance: those with its home in their environment or command."""
        marks = (f"MANDATE_HOME={self.home}".encode(), str(self.home).encode())
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                environ = (folder / "environ").read_bytes()
            except OSError:
                continue
            if marks[0] in environ or marks[1] in command:
                found.append(f"{folder.name}: {command.replace(bytes(1), b' ').decode()}")
        return found


def start(home: Path) -> Product:
    """Run the product on a free port; returns once `/readyz` says that every part is up."""
    port = free_port()
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    log = (home.parent / "run.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "config.local", "run"],
        cwd=ROOT,
        env=environ | {"PORT": str(port), "MANDATE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    product = Product(port, home, process)
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(product):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            process.wait(STOP_SECONDS)
            raise RuntimeError(f"not served:\n{Path(log.name).read_text()[-4000:]}")
        time.sleep(0.25)
    return product


def _is_ready(product: Product) -> bool:
    try:
        with urllib.request.urlopen(f"{product.apex}/readyz", timeout=5) as answer:  # noqa: S310
            return answer.status == 200
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
