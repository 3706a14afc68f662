from __future__ import annotations

import json
import logging

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from apps.common.logging import json_formatter
from apps.common.tracecontext import (
    TraceContext,
    enter,
    outgoing_headers,
    read_traceparent,
    request_id,
    within,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def lines():
    """What the process would have written, one parsed JSON object a line."""
    written = []

    class Keep(logging.Handler):
        def emit(self, record):
            written.append(json.loads(self.format(record)))

    handler = Keep()
    handler.setFormatter(json_formatter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


@pytest.mark.parametrize("offered", ["a1b2c3d4", "0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e11", "x" * 64])
def test_a_well_formed_request_id_is_kept(api, offered):
    assert api.get("/invite/x", headers={"X-Request-Id": offered})["X-Request-Id"] == offered


@pytest.mark.parametrize(
    "offered",
    ["", "short", "x" * 65, "a b c d e f", "abcdefg\nSet-Cookie: x", "-abcdefgh", "äbcdefgh"],
)
def test_any_other_request_id_is_replaced(offered):
    made = request_id(offered)
    assert made != offered
    assert len(made) == 36


@pytest.mark.parametrize(
    "path", ["/invite/x", "/nothing", "/v1/nothing", "/v1/raise/bug", "/page/bug", "/healthz"]
)
def test_every_answer_carries_both_names(api, path):
    answer = api.get(path)
    assert len(answer["X-Request-Id"]) == 36
    assert read_traceparent(answer["traceparent"]) is not None
    assert answer["traceresponse"] == answer["traceparent"]


def test_a_trace_is_continued_in_a_span_of_our_own(api):
    span = read_traceparent(api.get("/invite/x", headers={"traceparent": PARENT})["traceparent"])
    assert (span.trace_id, span.sampled) == (TRACE, True)
    assert span.span_id != "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "rubbish",
        PARENT.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"{PARENT}-extra",
        f"{PARENT}\n",
        f"01-{TRACE}-00f067aa0ba902b7-01extra",
    ],
)
def test_a_trace_that_breaks_the_rules_is_ignored(header):
    assert read_traceparent(header) is None


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known():
    span = read_traceparent(f"01-{TRACE}-00f067aa0ba902b7-01-more")
    assert span == TraceContext(TRACE, "00f067aa0ba902b7", sampled=True)


def test_outgoing_calls_go_on_below_the_present_span():
    assert outgoing_headers() == {}
    outer, inner = TraceContext(TRACE, "00f067aa0ba902b7"), TraceContext(TRACE, "1" * 16)
    enter(outer)
    with within(inner):
        below = outgoing_headers()
    told = outgoing_headers()
    enter(None)
    assert [read_traceparent(said["traceparent"]) for said in (below, told)] == [inner, outer]


def test_a_request_leaves_one_line_with_its_names_and_without_its_secrets(api, lines):
    answer = api.get("/invite/very-secret-token?ticket=s3cret&page=2")
    (line,) = [line for line in lines if line["logger"] == "mandate.request"]
    assert {key: line[key] for key in ("event", "method", "route", "status", "level")} == {
        "event": "request",
        "method": "GET",
        "route": "invite/<token>",
        "status": 200,
        "level": "info",
    }
    assert line["request_id"] == answer["X-Request-Id"]
    assert line["trace_id"] in answer["traceparent"]
    assert line["duration_ms"] >= 0
    assert "secret" not in json.dumps(lines)


def test_a_bug_is_logged_with_its_traceback_under_its_route_and_id(api, lines):
    answer = api.get("/page/bug?token=s3cret")
    (line,) = [line for line in lines if line["logger"] == "django.request"]
    assert line["event"] == "Internal Server Error: page/<kind>"
    assert "ZeroDivisionError" in line["exception"]
    assert line["request_id"] == answer["X-Request-Id"]


def test_what_a_view_binds_is_in_the_line_and_gone_with_the_request(api, lines, monkeypatch):
    import structlog

    from tests.common import sample_api

    def bind():
        structlog.contextvars.bind_contextvars(org="acme", principal="mem_1")
        raise sample_api.errors.Conflict("no")

    monkeypatch.setitem(sample_api.RAISED, "bind", bind)
    api.get("/v1/raise/bind")
    api.get("/invite/x")
    first, second = [line for line in lines if line["logger"] == "mandate.request"]
    assert (first["org"], first["principal"]) == ("acme", "mem_1")
    assert "org" not in second


def test_the_same_holds_in_an_async_chain(sample, lines):
    client = AsyncClient(raise_request_exception=False)

    async def ask():
        return [
            await client.get("/invite/x", headers={"traceparent": PARENT}),
            await client.get("/v1/nothing"),
            await client.get("/page/conflict"),
        ]

    fine, missing, refused = async_to_sync(ask)()
    assert TRACE in fine["traceparent"]
    assert missing["Content-Type"] == "application/problem+json"
    assert refused.status_code == 409
    routes = [line["route"] for line in lines if line["logger"] == "mandate.request"]
    assert routes == ["invite/<token>", "(no route)", "page/<kind>"]
