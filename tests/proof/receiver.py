"""Somebody else's service, as a program of its own: it does what it is told and counts.

It knows nothing of the product and checks nothing. Every request becomes one line of a file, so
whatever happens to the product, what was done outside can be counted afterwards.

A call's `input`, or else the URL's query, may hold `token` (whose work this is), `delay_ms` (answer
so late), `status` (answer with that one) and `gate_1`, `gate_2` (answer that attempt once the gate
is open: `POST /open/<gate>`).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

GATE_SECONDS = 120.0


class Receiver(ThreadingHTTPServer):
    """Answers each request in a thread; a key's first request is its effect, the rest repeats."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.file = path.open("a", buffering=1)
        self.seen: set[str] = set()
        self.gates: dict[str, threading.Event] = defaultdict(threading.Event)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that is gone before its answer is no news."""

    def note(self, body: dict[str, Any], key: str, token: str, peer: int) -> None:
        with self.lock:
            line = {
                "key": key,
                "effect": key not in self.seen,
                "attempt": body["attempt"],
                "run": body["run"],
                "token": token,
                "peer": peer,
                "at": time.time(),
            }
            self.seen.add(key)
            self.file.write(json.dumps(line) + "\n")

    def gate(self, name: str) -> threading.Event:
        with self.lock:
            return self.gates[name]


class Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        if self.path.startswith("/open/"):
            self.server.gate(self.path.removeprefix("/open/")).set()
            self.answer({})
            return
        body, key = json.loads(content), self.headers["Idempotency-Key"]
        told = dict(parse_qsl(urlsplit(self.path).query)) | body["input"]
        self.server.note(body, key, told.get("token", ""), self.client_address[1])
        time.sleep(int(told.get("delay_ms", 0)) / 1000)
        if gate := told.get(f"gate_{body['attempt']}"):
            self.server.gate(gate).wait(GATE_SECONDS)
        status = int(told.get("status", 200))
        self.answer({"attempt": body["attempt"], "key": key}, status=status)

    def answer(self, value: dict[str, Any], *, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


if __name__ == "__main__":
    receiver = Receiver(Path(sys.argv[1]))
    print(receiver.server_address[1], flush=True)
    receiver.serve_forever()
