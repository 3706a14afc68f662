"""The real OPA engine behind the part of OPA's REST API that the product speaks.

`python opa_server.py FOLDER` serves from the folder that `make .opa/.filled` fills, says its
address, and ends with its standard input. As OPA does, it refuses a module that doesn't compile,
keeps what it had, and evaluates with strict built-in errors.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PLACE = re.compile(r"([^\s:]+):(\d+)(?::(\d+))?: (\w+): (.*)", re.S)


class Server:
    """Modules by folder, and engines that compiled them: one for each evaluation that goes on.

    What one folder holds refers to nothing in another, so it is compiled by itself.
    """

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, str]] = {}
        self._idle: dict[str, list[Any]] = {}
        self._lock = threading.Lock()

    def put(self, name: str, rego: str) -> None:
        folder = name.rpartition("/")[0]
        with self._lock:
            self._change(folder, {**self._folders.get(folder, {}), name: rego})

    def delete(self, name: str) -> bool:
        folder = name.rpartition("/")[0]
        with self._lock:
            modules = self._folders.get(folder, {})
            if name not in modules:
                return False
            self._change(folder, {n: rego for n, rego in modules.items() if n != name})
            return True

    def evaluate(self, path: list[str], document: Any) -> Any:
        folder = "/".join(path[:2])
        with self._lock:
            modules = self._folders.get(folder, {})
            idle = self._idle.setdefault(folder, [])
            engine = idle.pop() if idle else compiled(modules)
        try:
            first, *rest = path
            dotted = first + "".join(f"[{json.dumps(part)}]" for part in rest)
            return engine.eval_document(dotted, document)
        finally:
            with self._lock:
                if modules is self._folders.get(folder):
                    self._idle[folder].append(engine)

    def _change(self, folder: str, modules: dict[str, str]) -> None:
        self._idle[folder] = [compiled(modules)]
        self._folders[folder] = modules


def compiled(modules: dict[str, str]) -> Any:
    from opa_bindings import OpaEngine

    engine = OpaEngine()
    for name, rego in modules.items():
        engine.add_policy(name, rego)
    engine.eval_query("true")
    return engine


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    opa: Server

    def do_GET(self) -> None:  # noqa: N802 - the library's names
        self._answer(200 if self.path == "/health" else 404, {})

    def do_PUT(self) -> None:  # noqa: N802
        name = self._name()
        self._carry_out(lambda body: self.opa.put(name, body.decode()) or {}, 400)

    def do_DELETE(self) -> None:  # noqa: N802
        name = self._name()
        self._carry_out(lambda body: {} if self.opa.delete(name) else None, 400)

    def do_POST(self) -> None:  # noqa: N802
        path = unquote(urlsplit(self.path).path).removeprefix("/v1/data/")

        def evaluate(body: bytes) -> Any:
            from opa_bindings import OpaUndefinedError

            try:
                return {"result": self.opa.evaluate(path.split("/"), json.loads(body).get("input"))}
            except OpaUndefinedError:
                return {}

        self._carry_out(evaluate, 500)

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/v1/policies/")

    def _carry_out(self, work: Any, status_of_error: int) -> None:
        from opa_bindings import OpaError

        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = work(body)
        except OpaError as error:
            self._answer(status_of_error, {"code": error.code, "errors": errors_of(error.message)})
            return
        self._answer(404, {"code": "resource_not_found"}) if answer is None else self._answer(
            200, answer
        )

    def _answer(self, status: int, body: Any) -> None:
        written = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, *_: Any) -> None: ...


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Who asked has hung up: it was late."""


def errors_of(message: str) -> list[dict[str, Any]]:
    """OPA's list of errors from the engine's one text."""
    found = []
    for line in re.split(r"\n(?=\S+:\d+)", message.split("occurred: ")[-1]):
        if match := PLACE.search(line):
            file, row, column, code, text = match.groups()
            place = {"file": file, "row": int(row), "col": int(column or 1)}
            found.append({"code": code, "message": text.strip(), "location": place})
    return found or [{"code": "internal_error", "message": message}]


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    Handler.opa = Server()
    Handler.opa.put("warm", "package warm")  # loads the engine
    server = QuietServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
