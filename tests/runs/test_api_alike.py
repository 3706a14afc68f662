"""Short cuts change no answer: unusual invocations by the road that serves and by the libraries'.

What an invocation passes is Django's and DRF's way with some of their steps made short: a path is
matched once, checks that no view has are left out, JSON is written at once, a ready statement is
run by libpq. The long road below has none of that; both have to say the same, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import pytest
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.test import override_settings
from django.utils import timezone
from django_tenants.postgresql_backend.base import DatabaseWrapper as LibraryWrapper
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.services.agents import create_agent
from apps.common.api import answering, views
from apps.common.api.views import ApiView
from apps.orgs.models import ApiKey
from apps.orgs.tokens import hash_of, new_token
from apps.runs.models import Run
from apps.tenants import keys
from apps.tenants.backend import base
from apps.tenants.models import Org
from config.handler import Chain, Handler
from tests.common.exchange import Exchange
from tests.orgs.conftest import owner_of, token_for

PATH: Final = "/v1/agents/echo/invoke"
HELLO: Final = b'{"input":{"text":"hello"}}'
JSON: Final = "application/json"
VARYING: Final = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
    (r"run_[0-9a-f]{32}", "<run>"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"),
    (r'"duration_ms": ?[\d.]+', "<duration>"),
    (r'"retry_after": ?\d+', "<seconds>"),
)


@dataclass(frozen=True)
class Asked:
    """One request; what isn't said is as usual, and a header of None isn't sent."""

    status: int
    body: bytes = HELLO
    method: str = "POST"
    path: str = PATH
    query: bytes = b""
    host: str = "localhost:8000"
    key: str = "good"
    headers: dict[str, str | None] = field(default_factory=dict)
    parts: int = 1


def typed(kind: str | None) -> dict[str, str | None]:
    return {"Content-Type": kind}


TABLE: Final = {
    "usual": Asked(200),
    "on the org's host": Asked(200, host="{slug}.localhost:8000"),
    "host in capitals": Asked(200, host="{SLUG}.LOCALHOST:8000"),
    "another org's host": Asked(401, host="{other}.localhost:8000"),
    "a host that is nobody's": Asked(404, host="nobody.localhost:8000"),
    "a host that is none": Asked(400, host="lo cal/host"),
    "no key": Asked(401, key=""),
    "a key that is none": Asked(401, key="nonsense"),
    "a key that isn't there": Asked(401, key="unknown"),
    "an expired key": Asked(401, key="expired"),
    "another org's key": Asked(200, key="foreign"),
    "another org's key on this one's host": Asked(401, host="{slug}.localhost:8000", key="foreign"),
    "a key without the scope": Asked(403, key="narrow"),
    "an agent's own key, and no grant": Asked(403, key="agent"),
    "basic credentials": Asked(401, headers={"Authorization": "Basic YTpi"}),
    "bearer in small letters": Asked(200, headers={"Authorization": "bearer  {good}"}),
    "GET": Asked(405, method="GET", body=b""),
    "HEAD": Asked(405, method="HEAD", body=b""),
    "OPTIONS": Asked(405, method="OPTIONS", body=b""),
    "PUT": Asked(405, method="PUT"),
    "a made-up method": Asked(405, method="BREW"),
    "GET without a key": Asked(401, method="GET", key="", body=b""),
    "an overridden method": Asked(200, headers={"X-HTTP-Method-Override": "GET"}),
    "no such agent": Asked(404, path="/v1/agents/nobody/invoke"),
    "an id of nothing": Asked(404, path=f"/v1/agents/agt_{'0' * 32}/invoke"),
    "a slug that is none": Asked(404, path="/v1/agents/%C3%BC/invoke"),
    "a very long slug": Asked(404, path=f"/v1/agents/{'a' * 300}/invoke"),
    "a slash too many": Asked(404, path=f"{PATH}/"),
    "a path of nothing": Asked(404, path="/v1/nothing"),
    "a parameter": Asked(422, query=b"dry=1"),
    "an empty parameter": Asked(422, query=b"dry"),
    "no body": Asked(422, body=b""),
    "a length of nought": Asked(422, body=b"", headers={"Content-Length": "00"}),
    "a length that is none": Asked(422, headers={"Content-Length": "ten"}),
    "an empty object": Asked(422, body=b"{}"),
    "no JSON": Asked(400, body=b"hello"),
    "JSON and more": Asked(400, body=HELLO + b" x"),
    "JSON and space": Asked(200, body=HELLO + b" \n"),
    "a name twice": Asked(400, body=b'{"input":{},"input":{}}'),
    "NaN": Asked(400, body=b'{"input":{"text":NaN}}'),
    "NUL": Asked(400, body=b'{"input":{"text":"\\u0000"}}'),
    "half a pair": Asked(400, body=b'{"input":{"text":"\\ud800"}}'),
    "not UTF-8": Asked(400, body=b'{"input":{"text":"\xff"}}'),
    "nested too deeply": Asked(422, body=b'{"input":{"text":' + b"[" * 90 + b"]" * 90 + b"}}"),
    "a list": Asked(422, body=b"[1]"),
    "an unknown member": Asked(422, body=b'{"input":{"text":"a"},"x":1}'),
    "the wrong input": Asked(422, body=b'{"input":{"text":1}}'),
    "no such tool": Asked(422, body=b'{"tool":"dig","input":{"text":"a"}}'),
    "line separators": Asked(200, body='{"input":{"text":"a\u2028\u2029ü"}}'.encode()),
    "too long": Asked(413, body=b'{"input":{"text":"' + b"a" * 3_000_000 + b'"}}'),
    "in parts": Asked(200, headers={"Content-Length": None}, parts=3),
    "a form": Asked(415, headers=typed("application/x-www-form-urlencoded")),
    "text": Asked(415, headers=typed("text/plain")),
    "no type": Asked(415, headers=typed(None)),
    "a type with a charset": Asked(200, headers=typed(f"{JSON}; charset=utf-8")),
    "a type in capitals": Asked(200, headers=typed("APPLICATION/JSON")),
    "packed": Asked(400, body=b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"}),
    "takes JSON": Asked(200, headers={"Accept": JSON}),
    "takes indented JSON": Asked(200, headers={"Accept": f"{JSON}; indent=4"}),
    "takes anything of an application": Asked(200, headers={"Accept": "application/*;q=0.2"}),
    "takes pages only": Asked(406, headers={"Accept": "text/html"}),
    "takes events, of no such agent": Asked(
        404, path="/v1/agents/nobody/invoke", headers={"Accept": "text/event-stream"}
    ),
    "from htmx": Asked(200, headers={"HX-Request": "true"}),
    "with a cookie": Asked(200, headers={"Cookie": "mandate-8000=a; csrftoken=b"}),
    "from another site": Asked(200, headers={"Origin": "https://elsewhere.example"}),
    "with names of its own": Asked(
        200,
        headers={
            "X-Request-Id": "mine-and-well-formed",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
    ),
    "with a bad request id": Asked(200, headers={"X-Request-Id": "a b"}),
    "a key for once": Asked(200, headers={"Idempotency-Key": "once-{road}"}),
    "the same again": Asked(200, headers={"Idempotency-Key": "first-{road}"}),
    "the same for something else": Asked(
        422, body=b'{"input":{"text":"other"}}', headers={"Idempotency-Key": "first-{road}"}
    ),
    "a bad key for once": Asked(400, headers={"Idempotency-Key": "a b"}),
    "in the background": Asked(202, body=b'{"input":{"text":"a"},"mode":"async"}'),
}


@dataclass
class World:
    """The orgs and keys that the table speaks of."""

    names: dict[str, str]
    tokens: dict[str, str]
    org: Any
    other: Any

    def suspend_other(self, state: str = Org.State.SUSPENDED) -> None:
        Org.objects.filter(id=self.other.id).update(state=state)
        connections.close_all()


def furnish(org: Any) -> Any:
    owner = owner_of(org)
    with keys.holding(org.schema, org.id):
        create_agent(
            name="Echo",
            runtime="builtin",
            config={"skill": "echo"},
            accountable_id=owner.member_id,
            actor=owner.actor,
            at=timezone.now(),
        )
    return owner


@pytest.fixture
def world(throwaway_org: Callable[[], Any]) -> World:
    org, other = throwaway_org(), throwaway_org()
    owner, foreign = furnish(org), furnish(other)
    tokens = {
        "good": token_for(org, owner),
        "expired": token_for(org, owner),
        "narrow": token_for(org, owner, scopes=["runs.view"]),
        "agent": token_for(org, owner, agent="echo", scopes=["agents.invoke"]),
        "foreign": token_for(other, foreign),
        "unknown": new_token(),
        "nonsense": "nonsense",
    }
    with keys.holding(org.schema, org.id):
        then = timezone.now() - timedelta(seconds=1)
        ApiKey.objects.filter(key_hash=hash_of(tokens["expired"])).update(expires_at=then)
    names = {"slug": org.slug, "SLUG": org.slug.upper(), "other": other.slug, **tokens}
    connections.close_all()
    return World(names, tokens, org, other)


@pytest.fixture
def long_road() -> Iterator[Callable[[], pytest.MonkeyPatch]]:
    """Turns every short cut off, until its patch is undone."""
    patch = pytest.MonkeyPatch()

    def initial(self: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        APIView.initial(self, request, *args, **kwargs)
        if request.method == "POST" and (handler := getattr(self, "post", None)):
            self.post = views._guarded(handler)

    def write(self: Any, data: Any, **options: Any) -> Response:
        return Response(data, **options)

    def turn_off() -> pytest.MonkeyPatch:
        patch.setattr(ApiView, "initial", initial)
        patch.setattr(ApiView, "write", write)
        patch.setattr(ApiView, "body", lambda self: self.request.data)
        for name in ("perform_authentication", "allowed_methods"):
            patch.setattr(ApiView, name, getattr(APIView, name))
        patch.setattr(Chain, "resolve_request", BaseHandler.resolve_request)
        patch.setattr(base, "run_again", lambda *_: None)
        patch.setattr(base.DatabaseWrapper, "connect", LibraryWrapper.connect)
        return patch

    yield turn_off
    patch.undo()


def ask(application: Any, asked: Asked, world: World, *, road: str) -> Exchange:
    names = {**world.names, "road": road}
    usual: dict[str, str | None] = {"Content-Type": JSON, "Content-Length": str(len(asked.body))}
    if asked.key:
        usual["Authorization"] = f"Bearer {world.tokens[asked.key]}"
    headers = {name: value for name, value in (usual | asked.headers).items() if value is not None}
    size = -(-len(asked.body) // asked.parts) or 1
    exchange = Exchange(
        asked.path,
        method=asked.method,
        host=asked.host.format(**names),
        headers={name: value.format(**names) for name, value in headers.items()},
        body=[asked.body[at : at + size] for at in range(0, len(asked.body), size)] or [b""],
        query=asked.query,
    )
    return asyncio.run(exchange.run(application))


def answers(world: World, road: str) -> dict[str, tuple[Any, ...]]:
    """What each request of the table is answered, without what no two answers share."""
    application, told = Handler(), {}
    ask(application, Asked(200, headers={"Idempotency-Key": "first-{road}"}), world, road=road)
    for name, asked in TABLE.items():
        exchange = ask(application, asked, world, road=road)
        assert exchange.status == asked.status, (road, name, exchange.content)
        told[name] = _said(exchange)
    world.suspend_other()
    told["suspended"] = _said(ask(application, Asked(401, key="foreign"), world, road=road))
    world.suspend_other(Org.State.ACTIVE)
    with override_settings(API_RATE_LIMIT="1/minute", API_RATE_LIMIT_ANONYMOUS="1/minute"):
        for name, key in (("over the limit", "good"), ("nobody over the limit", "")):
            exchanges = [ask(application, Asked(429, key=key), world, road=road) for _ in range(2)]
            assert exchanges[-1].status == 429, (road, name, exchanges[-1].content)
            told[name] = _said(exchanges[-1])
    return told


def _said(exchange: Exchange) -> tuple[Any, ...]:
    return exchange.status, _head(exchange), _steady(exchange.content.decode())


def _head(exchange: Exchange) -> list[tuple[str, str]]:
    """The headers in their order; of those that vary, that they are there and well-formed."""
    found = []
    for raw, value in exchange.sent[0]["headers"]:
        name, text = raw.decode().lower(), value.decode()
        if name == "content-length":
            assert int(text) == len(exchange.content)
            text = ""
        elif name in {"x-request-id", "traceparent", "traceresponse", "retry-after", "ratelimit"}:
            text = re.sub(r"(?<=-)[0-9a-f]{16}(?=-)|(?<=[rt]=)\d+|^\d+$", "#", _steady(text))
            text = re.sub(r"^00-(?!4bf92f)[0-9a-f]{32}", "<trace>", text)
        found.append((name, text))
    return found


def _steady(text: str) -> str:
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text)
    return text


def runs_of(world: World) -> list[tuple[Any, ...]]:
    shown = ("status", "mode", "input", "output", "reason", "caller_type", "idempotency_key")
    with keys.holding(world.org.schema, world.org.id):
        rows = Run.objects.order_by("created_at", "id").values_list(*shown)
        return json.loads(
            _steady(json.dumps(list(rows)).replace("-short", "").replace("-long", ""))
        )  # type: ignore[no-any-return]


def test_both_roads_answer_every_request_alike_and_leave_the_same_runs(
    world: World, long_road: Callable[[], pytest.MonkeyPatch]
) -> None:
    short = answers(world, "short")
    left = runs_of(world)
    patched = long_road()
    long = answers(world, "long")
    patched.undo()
    with pytest.MonkeyPatch.context() as bent:
        bent.setattr(answering, "_encode", json.JSONEncoder(default=str).encode)
        odd = _said(ask(Handler(), TABLE["usual"], world, road="bent"))

    assert {name: (short[name], long[name]) for name in short if short[name] != long[name]} == {}
    assert odd != short["usual"]  # a difference would be seen
    assert runs_of(world)[:-1] == [*left, *left]
    assert short["suspended"] == short["a key that isn't there"]
    assert len(left) >= sum(asked.status in {200, 202} for asked in TABLE.values()) - 2
