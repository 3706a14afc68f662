"""One HTTP exchange with an ASGI application, driven message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any


class Exchange:
    """Sends the parts of a body, then waits as a client does; `leave` hangs up."""

    def __init__(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str = "localhost:8000",
        headers: dict[str, str] | None = None,
        body: Sequence[bytes] = (b"",),
        ends: bool = True,
        query: bytes = b"",
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self.asked = 0
        self.arrived = asyncio.Event()
        self._gone = asyncio.Event()
        more = [True] * (len(body) - 1) + [not ends]
        self._parts = [
            {"type": "http.request", "body": part, "more_body": goes_on}
            for part, goes_on in zip(body, more, strict=True)
        ]
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {"Host": host, **(headers or {})}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }

    async def run(self, application: Any) -> Exchange:
        await application(self.scope, self._receive, self._send)
        return self

    def leave(self) -> None:
        self._gone.set()

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        if self._parts:
            return self._parts.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if not self._gone.is_set():  # as uvicorn does
            self.sent.append(message)
            self.arrived.set()
