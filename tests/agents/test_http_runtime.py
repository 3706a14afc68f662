"""The `http` runtime: a customer's endpoint is called, signed, and believed only so far."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from apps.agents.runtimes.base import Invocation, Stopped, WorkFailed
from apps.agents.runtimes.http import RUNTIME
from apps.agents.runtimes.posting import OUTPUT_MAX
from apps.agents.runtimes.signing import new_secret, signed_headers
from apps.agents.services import agents
from apps.common import egress, tracecontext
from apps.common.egress import (
    EgressClient,
    EgressFailed,
    EgressPolicy,
    EgressSuspended,
    EgressThrottled,
)
from apps.common.ids import public_id, uuid7
from apps.common.json import Object
from apps.runs.selectors import list_steps
from apps.runs.services.invoke import Ask, invoke
from config.settings.parts import egress as stated
from tests.agents.factories import make_desk

KEY = "0190f7c26d1e7b5a9c3e2f4b6a8d0e21.1.abc"


class Fake:
    """A call context that does as told at once and remembers what it was asked."""

    def __init__(self, *, left: float = 20.0) -> None:
        self.left = left
        self.asked: list[tuple[str, Object]] = []
        self.made_sure = 0

    def make_sure(self) -> None:
        self.made_sure += 1

    def remaining(self) -> float:
        return self.left

    def call_tool(
        self,
        *,
        name: str,
        input: Object,
        call: Callable[[str], Object],
        span: Any = None,
        effect: Any = None,
    ) -> Object:
        self.asked.append((name, input))
        with connection.execute_wrapper(refuse):
            return call(KEY)


def refuse(*_: Any) -> None:
    raise AssertionError("a connection is held while the endpoint is awaited")


@pytest.fixture
def endpoint(loopback: None, httpserver: HTTPServer) -> HTTPServer:
    return httpserver


@pytest.fixture
def desk(owner: Any, endpoint: HTTPServer) -> Any:
    return make_desk(owner, config={"url": endpoint.url_for("/agent")})


def ask(agent: Any, ctx: Fake | None = None, **config: Any) -> Object:
    return RUNTIME.run(order_of(agent, **config), ctx or Fake())  # type: ignore[arg-type]


def order_of(agent: Any, **config: Any) -> Invocation:
    return Invocation(
        run_id=uuid7(),
        attempt=2,
        agent_id=agent.id,
        agent=agent.slug,
        tool="invoke",
        input={"order": "A-1", "größe": 1.5},
        config={**agent.config, **config},
    )


def failure(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(WorkFailed) as caught:
        call()
    return caught.value.code, caught.value.message


def verify(secret: str, request: Request) -> None:
    """What an endpoint does, written down from the Standard Webhooks specification 1.0."""
    assert secret[:6] == "whsec_"
    key = base64.b64decode(secret[6:], validate=True)
    signed = b".".join(
        [
            request.headers["webhook-id"].encode(),
            request.headers["webhook-timestamp"].encode(),
            request.get_data(),
        ]
    )
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    versions = [part.split(",", 1) for part in request.headers["webhook-signature"].split(" ")]
    if ["v1", expected] not in versions:
        raise AssertionError("the signature does not match")
    if abs(time.time() - int(request.headers["webhook-timestamp"])) > 300:
        raise AssertionError("the message is old")


def asked_of(endpoint: HTTPServer) -> list[Request]:
    return [request for request, _ in endpoint.log]


def test_the_endpoint_is_told_what_to_do_and_its_object_is_the_output(
    desk: Any, endpoint: HTTPServer
) -> None:
    endpoint.expect_request("/agent").respond_with_json({"where": "Oslo", "exact": 0.1})
    order, ctx = order_of(desk), Fake()

    assert RUNTIME.run(order, ctx) == {"where": "Oslo", "exact": 0.1}  # type: ignore[arg-type]

    (request,) = asked_of(endpoint)
    assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    assert json.loads(request.get_data()) == {
        "run": public_id("run", order.run_id),
        "agent": "order-desk",
        "tool": "invoke",
        "input": {"order": "A-1", "größe": 1.5},
        "attempt": 2,
        "idempotency_key": KEY,
    }
    assert ctx.asked == [(f"POST {endpoint.url_for('/agent')}", order.input)]


def test_a_call_is_signed_so_that_an_endpoint_can_check_it(desk: Any, endpoint: HTTPServer) -> None:
    endpoint.expect_request("/agent").respond_with_json({})
    ask(desk)
    (request,) = asked_of(endpoint)
    secret = agents.find_signing_secret(desk)
    assert secret is not None
    verify(secret, request)
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == KEY

    # The controls: another secret, another body, another id, and a time that has passed.
    with pytest.raises(AssertionError, match="does not match"):
        verify(new_secret().decode(), request)
    for name, value in (
        ("data", b"{}"),
        ("webhook-id", "other"),
        ("webhook-timestamp", str(int(time.time()) + 1)),
    ):
        with pytest.raises(AssertionError, match="does not match"):
            verify(secret, forged(request, name, value))


def forged(request: Request, name: str, value: Any) -> Request:
    headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
    data = value if name == "data" else request.get_data()
    if name != "data":
        headers = {k: v for k, v in headers.items() if k.lower() != name} | {name: value}
    from werkzeug.test import EnvironBuilder

    return Request(EnvironBuilder(method="POST", headers=headers, data=data).get_environ())


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks reference implementations."""
    headers = signed_headers(
        b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_new_secret_signs_from_then_on(desk: Any, endpoint: HTTPServer, owner: Any) -> None:
    endpoint.expect_request("/agent").respond_with_json({})
    old = agents.find_signing_secret(desk)
    new = agents.rotate_signing_secret(agent_id=desk.id, actor=owner.actor, at=timezone.now())
    ask(desk)
    (request,) = asked_of(endpoint)
    verify(new, request)
    assert old is not None
    with pytest.raises(AssertionError, match="does not match"):
        verify(old, request)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_call_is_repeated_with_the_same_key_and_signature(
    desk: Any, endpoint: HTTPServer, status: int
) -> None:
    endpoint.expect_ordered_request("/agent").respond_with_data("", status)
    endpoint.expect_ordered_request("/agent").respond_with_json({"done": True})
    ctx = Fake()
    assert ask(desk, ctx) == {"done": True}
    assert ctx.made_sure == 1
    first, second = asked_of(endpoint)
    for name in ("idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature"):
        assert first.headers[name] == second.headers[name]
    assert first.get_data() == second.get_data()


def test_a_run_that_was_taken_away_is_not_sent_again(desk: Any, endpoint: HTTPServer) -> None:
    class TakenAway(Fake):
        def make_sure(self) -> None:
            raise Stopped

    endpoint.expect_request("/agent").respond_with_data("", 503)
    with pytest.raises(Stopped):
        ask(desk, TakenAway())
    assert len(asked_of(endpoint)) == 1
    # The control: a run that is ours is sent as often as may be.
    assert failure(lambda: ask(desk))[0] == "endpoint_failed"
    assert len(asked_of(endpoint)) == 1 + stated.EGRESS_ATTEMPTS


def test_a_run_that_is_killed_between_two_tries_makes_no_second(
    desk: Any, endpoint: HTTPServer, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From end to end: the pause after the first answer is when the switch is thrown."""
    endpoint.expect_request("/agent").respond_with_data("", 503)
    pauses: list[float] = []

    def kill(seconds: float) -> None:
        pauses.append(seconds)
        agents.kill_agent(agent_id=desk.id, actor=owner.actor, at=timezone.now())

    def ask_anew(pause: Callable[[float], None]) -> Any:
        policy = EgressPolicy(allow_loopback=True)
        monkeypatch.setattr(egress, "default_client", lambda: EgressClient(policy, sleep=pause))
        order = Ask(agent="order-desk", input={"order": "A-1"})
        return invoke(order, caller=owner, at=timezone.now()).run

    # The control: without it there are more.
    assert ask_anew(lambda seconds: None).status == "failed"
    assert len(asked_of(endpoint)) == stated.EGRESS_ATTEMPTS
    endpoint.clear_log()
    run = ask_anew(kill)
    assert (run.status, run.reason, len(pauses)) == ("cancelled", "agent_stopped", 1)
    assert len(asked_of(endpoint)) == 1
    assert [step.status for step in list_steps(run.id)] == ["discarded"]


def test_what_has_another_answer_is_not_repeated(desk: Any, endpoint: HTTPServer) -> None:
    endpoint.expect_request("/agent").respond_with_data("", 500)
    failure(lambda: ask(desk))
    assert len(asked_of(endpoint)) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "endpoint_refused"),
        (404, "endpoint_refused"),
        (429, "endpoint_refused"),
        (500, "endpoint_failed"),
        (503, "endpoint_failed"),
        (304, "endpoint_refused"),
    ],
)
def test_an_answer_that_is_no_success_is_told_by_its_status(
    desk: Any, endpoint: HTTPServer, status: int, code: str
) -> None:
    endpoint.expect_request("/agent").respond_with_data("inner matters", status)
    assert failure(lambda: ask(desk)) == (code, f"The endpoint answered {status}.")


def test_a_redirect_is_not_followed(desk: Any, endpoint: HTTPServer) -> None:
    elsewhere = {"Location": endpoint.url_for("/elsewhere")}
    endpoint.expect_request("/agent").respond_with_data("", 307, elsewhere)
    endpoint.expect_request("/elsewhere").respond_with_json({"caught": True})
    assert failure(lambda: ask(desk)) == ("endpoint_refused", "The endpoint answered 307.")
    assert [request.path for request in asked_of(endpoint)] == ["/agent"]


@pytest.mark.parametrize(
    "body",
    ["", "fine", "[]", "null", '"text"', "{", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}'],
)
def test_an_answer_that_is_no_exact_object_is_refused(
    desk: Any, endpoint: HTTPServer, body: str
) -> None:
    endpoint.expect_request("/agent").respond_with_data(body, content_type="application/json")
    code, message = failure(lambda: ask(desk))
    assert (code, message) == (
        "endpoint_answer_invalid",
        "The endpoint's answer is not a JSON object.",
    )


def test_an_answer_may_be_so_large_and_no_larger(desk: Any, endpoint: HTTPServer) -> None:
    sizes = iter([OUTPUT_MAX, OUTPUT_MAX + 1])

    def answer(request: Request) -> Response:
        text = "x" * (next(sizes) - len('{"t":""}'))
        return Response(f'{{"t":"{text}"}}', content_type="application/json")

    endpoint.expect_request("/agent").respond_with_handler(answer)
    assert len(ask(desk)["t"]) == OUTPUT_MAX - len('{"t":""}')
    assert failure(lambda: ask(desk)) == (
        "endpoint_answer_invalid",
        "The endpoint sent too much.",
    )


@pytest.fixture
def slow(endpoint: HTTPServer) -> Iterator[None]:
    """An endpoint that answers only once the test is over."""
    over = threading.Event()

    def answer(request: Request) -> Response:
        over.wait(30)
        return Response("{}")

    endpoint.expect_request("/agent").respond_with_handler(answer)
    yield
    over.set()


def test_the_endpoint_has_what_is_left_of_the_runs_time(desk: Any, slow: None) -> None:
    assert failure(lambda: ask(desk, Fake(left=0.3))) == (
        "endpoint_timeout",
        "The endpoint took too long.",
    )


def test_an_endpoint_that_is_not_there(desk: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, message = failure(lambda: ask(desk, url=f"http://127.0.0.1:{port}/agent?q=hidden"))
    assert code == "endpoint_unreachable"
    assert "127.0.0.1" not in message
    assert "hidden" not in message


def test_an_endpoint_that_is_called_too_often_is_not_unreachable(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(error: EgressFailed) -> tuple[str, str]:
        def request(*args: Any, **kwargs: Any) -> Any:
            raise error

        monkeypatch.setattr(egress, "request", request)
        return failure(lambda: ask(desk))

    throttled = EgressThrottled("desk.example was called too often.", retry_after=3)
    assert raises(throttled) == ("endpoint_throttled", "desk.example was called too often.")
    suspended = EgressSuspended("desk.example is left alone.", retry_after=3)
    assert raises(suspended)[0] == "endpoint_unreachable"


@pytest.mark.parametrize("value", ["\\u0000", "\\ud800"])
def test_an_answer_that_cannot_be_kept_fails_the_run_at_once(
    desk: Any, endpoint: HTTPServer, owner: Any, value: str
) -> None:
    def answer(request: Request) -> Response:
        return Response('{"x": "%s"}' % value, content_type="application/json")  # noqa: UP031

    endpoint.expect_request("/agent").respond_with_handler(answer)
    ordered = Ask(agent="order-desk", input={"order": "A-1"})
    run = invoke(ordered, caller=owner, at=timezone.now()).run

    assert (run.status, run.output) == ("failed", None)
    assert run.error and run.error["code"] in {"output_invalid", "endpoint_answer_invalid"}
    assert len(asked_of(endpoint)) == 1


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://169.254.169.254/latest/", "http://93.184.215.14/"]
)
def test_where_it_leads_is_checked_at_each_call_again(desk: Any, url: str) -> None:
    """A name may lead elsewhere by now, and a manifest may be older than a rule."""
    code, _ = failure(lambda: ask(desk, url=url))
    assert code == "endpoint_not_allowed"


def test_no_failure_tells_the_secret(desk: Any, endpoint: HTTPServer) -> None:
    secret = agents.find_signing_secret(desk)
    assert secret is not None

    def answer(request: Request) -> Response:
        return Response(f"{secret} {request.headers}", 400)

    endpoint.expect_request("/agent").respond_with_handler(answer)
    assert secret.removeprefix("whsec_") not in str(failure(lambda: ask(desk)))


def test_headers_of_the_config_go_along_and_ours_stay_ours(desk: Any, endpoint: HTTPServer) -> None:
    endpoint.expect_request("/agent").respond_with_json({})
    config = RUNTIME.check_config({**desk.config, "headers": {"X-Region": "eu north"}})
    assert config["headers"] == {"x-region": "eu north"}
    ask(desk, headers={**config["headers"], "webhook-id": "forged", "content-type": "text/html"})
    (request,) = asked_of(endpoint)
    assert request.headers["x-region"] == "eu north"
    assert request.headers["webhook-id"] == KEY
    assert request.headers["content-type"] == "application/json"


def test_a_call_continues_the_trace(desk: Any, endpoint: HTTPServer) -> None:
    endpoint.expect_request("/agent").respond_with_json({})
    trace = tracecontext.new_trace()
    tracecontext.enter(trace)
    try:
        ask(desk)
    finally:
        tracecontext.enter(None)
    ask(desk)
    with_trace, without = asked_of(endpoint)
    assert tracecontext.read_traceparent(with_trace.headers["traceparent"]) == trace
    assert "traceparent" not in without.headers


def test_a_run_of_an_http_agent_from_end_to_end(
    desk: Any, endpoint: HTTPServer, owner: Any
) -> None:
    endpoint.expect_ordered_request("/agent").respond_with_json({"where": "Oslo"})
    endpoint.expect_ordered_request("/agent").respond_with_data("", 422)

    def go() -> Any:
        order = Ask(agent="order-desk", input={"order": "A-1"})
        return invoke(order, caller=owner, at=timezone.now()).run

    done, failed = go(), go()
    assert (done.status, done.output) == ("succeeded", {"where": "Oslo"})
    assert (failed.status, failed.error) == (
        "failed",
        {"code": "endpoint_refused", "message": "The endpoint answered 422."},
    )
    told = [json.loads(request.get_data()) for request in asked_of(endpoint)]
    assert [message["run"] for message in told] == [
        public_id("run", done.id),
        public_id("run", failed.id),
    ]
    assert len({message["idempotency_key"] for message in told}) == 2
