"""A small internet on loopback: servers, a scripted resolver, the edge where sockets open."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import contextmanager
from urllib.parse import unquote

Handler = http.server.BaseHTTPRequestHandler
really_connect = socket.create_connection


class Site(http.server.ThreadingHTTPServer):
    """An HTTP server that counts connections and keeps what it was asked."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Callable[[Handler], None], *, host: str = "127.0.0.1") -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.connections = 0
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        super().__init__((host, 0), self._handler(answer))

    def _handler(site, answer):  # noqa: N805
        class Answer(Handler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                site.asked.append((self.command, self.path, headers, body))
                self.close_connection = True
                answer(self)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_any

            def log_message(self, *_) -> None:
                pass

        return Answer

    def get_request(self):
        connection = super().get_request()
        self.connections += 1
        return connection

    def handle_error(self, *_) -> None:
        """A client that hangs up is no news here."""

    @property
    def port(self) -> int:
        return self.server_address[1]

    def settled(self) -> int:
        """Connections so far; connects once itself, since those are accepted in their order."""
        with really_connect(self.server_address[:2]) as marker:
            marker.sendall(b"GET / HTTP/1.1\r\nHost: marker\r\n\r\n")
            marker.recv(1)
        self.connections -= 1
        return self.connections


def reply(handler: Handler, status: int = 200, body: bytes = b"ok", **headers: str) -> None:
    """Answers; a header's value is sent as it is, so that a Location may hold anything."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    handler.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    if handler.command != "HEAD":
        handler.wfile.write(body)


def public_answer(handler: Handler) -> None:
    """/to?<quoted URL> redirects there, /again to itself, anything else is well."""
    path, _, query = handler.path.partition("?")
    if path == "/to":
        reply(handler, 302, Location=unquote(query))
    elif path == "/again":
        reply(handler, 302, Location="/again")
    else:
        reply(handler, 200, b"public")


@contextmanager
def serving(site: Site, tls: ssl.SSLContext | None = None):
    if tls is not None:
        site.socket = tls.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


class Names:
    """A resolver with a script: each name has answers in turn, the last of which stays."""

    def __init__(self, script: dict[str, list[list[str]]] | None = None, other: str | None = None):
        self.script = script or {}
        self.other = other
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, timeout: float) -> list[str]:
        self.asked.append(host)
        turns = self.script.get(host) or ([[self.other]] if self.other else [])
        if not turns:
            raise OSError("no such name")
        return turns.pop(0) if len(turns) > 1 else turns[0]


class Edge:
    """Stands where sockets are opened, and sends each to a server of ours by its address.

    Addresses named public reach the public site; every other one, whatever it is, the sentinel. A
    name that gets this far is looked up once more, as the operating system would.
    """

    def __init__(self, *, public: Site, public_tls: Site, sentinel: Site, names: Names) -> None:
        self.sites = {443: public_tls, 8443: public_tls}
        self.public, self.sentinel, self.names = public, sentinel, names
        self.public_addresses: set[str] = set()
        self.dialled: list[str] = []

    def __call__(self, address, timeout=None, source_address=None, **_):
        host, port = address
        try:
            ipaddress.ip_address(host)
        except ValueError:
            host = self.names(host, port, 1.0)[0]
        self.dialled.append(host)
        site = self.sentinel
        if host in self.public_addresses:
            site = self.sites.get(port, self.public)
        return really_connect(site.server_address[:2], timeout)
