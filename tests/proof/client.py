"""A client of the API that never gives up: the same key until the run is over."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]
OPEN: Final = ("queued", "running", "awaiting_approval")
AGAIN: Final = (409, 502, 503, 504)


@dataclass(frozen=True)
class Reply:
    status: int
    body: Object


@dataclass(frozen=True)
class Outcome:
    """What a persistent client got in the end: its run, closed, and how often it had to repeat."""

    run: Object
    repeats: int


class Unexpected(AssertionError):
    """An answer that no client could know what to do with."""


@dataclass(frozen=True)
class Client:
    """One API key on one instance; each call is a connection of its own."""

    port: int
    token: str

    def ask(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        key: str = "",
        timeout: float = 60.0,
    ) -> Reply:
        """One request; raises OSError or HTTPException if the connection doesn't hold."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {
            "Host": f"localhost:{self.port}",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        if key:
            headers["Idempotency-Key"] = key
        try:
            connection.request(
                method, path, json.dumps(body) if body is not None else None, headers
            )
            answer = connection.getresponse()
            content = answer.read()
            return Reply(answer.status, json.loads(content) if content else {})
        finally:
            connection.close()

    def get(self, path: str) -> Object:
        reply = self.ask("GET", path)
        assert reply.status == 200, reply
        return reply.body

    def post(self, path: str, body: Object | None = None) -> Object:
        reply = self.ask("POST", path, body)
        assert reply.status in (200, 201, 202), reply
        return reply.body

    def detach_policies(self) -> None:
        """Have none count in the org from now on."""
        for policy in self.get("/v1/policies")["results"]:
            for attachment in policy["attachments"]:
                path = f"/v1/policies/{policy['id']}/attachments/{attachment['id']}"
                assert self.ask("DELETE", path).status == 204

    def make_agent(self, slug: str, runtime: str, config: Object, **fields: Any) -> Object:
        body = {"name": slug, "slug": slug, "runtime": runtime, "config": config, **fields}
        return self.post("/v1/agents", body)

    def make_http_agent(self, slug: str, url: str, **fields: Any) -> Object:
        return self.make_agent(slug, "http", {"url": url}, **fields)

    def make_relay(self, slug: str, callee: str, **fields: Any) -> Object:
        """An agent that has another one do its work, with the grant for it."""
        made = self.make_agent(slug, "relay", {"callee": callee}, **fields)
        self.post(f"/v1/agents/{callee}/grants", {"caller": slug, "tools": ["*"]})
        return made

    def invoke(self, agent: str, input: Object, *, mode: str = "sync", key: str = "") -> Reply:
        body = {"input": input, "mode": mode}
        return self.ask("POST", f"/v1/agents/{agent}/invoke", body, key=key)

    def insist(self, agent: str, input: Object, *, mode: str, key: str, within: float) -> Outcome:
        """Ask with one key, again and again, until the answer is a run that is over."""
        deadline, asked = time.monotonic() + within, 0
        last: object = None
        while time.monotonic() < deadline:
            asked += 1
            try:
                last = reply = self.invoke(agent, input, mode=mode, key=key)
            except (OSError, http.client.HTTPException, ValueError) as error:
                last = error
            else:
                if reply.status in (200, 202) and reply.body["status"] not in OPEN:
                    return Outcome(reply.body, asked - 1)
                if reply.status not in (200, 202, *AGAIN):
                    raise Unexpected(f"{key}: {reply}")
            time.sleep(min(0.1 * asked, 1.0))
        raise TimeoutError(f"{key}: no closed run in {within:g} s, at last {last!r}")
