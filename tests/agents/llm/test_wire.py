"""The providers' own clients, driven through the one way out against a server on this machine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from apps.runs.models import Run
from apps.runs.selectors import list_steps
from apps.runs.services.invoke import Ask, invoke
from tests.agents.factories import let_call, make_agent
from tests.agents.llm.conftest import KEY, MODEL, completion, price, provide


@pytest.fixture
def server(loopback: None, httpserver: HTTPServer, waits: list[float]) -> HTTPServer:
    return httpserver


@pytest.fixture
def agent(owner: Any, server: HTTPServer) -> Any:
    """An agent of a provider that is the server on this machine."""
    price(owner)
    provide(owner, base_url=server.url_for("/v1").rstrip("/"))
    config = {"provider": "models", "model": MODEL, "instructions": "Be brief."}
    return make_agent(owner, name="Assistant", runtime="llm", config=config)


def ask(owner: Any) -> Any:
    wanted = Ask(agent="assistant", input={"text": "hello"}, mode="sync")
    return invoke(wanted, caller=owner, at=timezone.now()).run


def script(server: HTTPServer, *answers: Any) -> None:
    """Answer one request after another: JSON, a status, or a status with headers."""
    for answer in answers:
        on = server.expect_ordered_request("/v1/chat/completions", method="POST")
        if isinstance(answer, dict):
            on.respond_with_json(answer)
        else:
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            on.respond_with_data(f"the key {KEY} is wrong", status=status, headers=headers)


def asked(server: HTTPServer) -> list[Request]:
    return [request for request, _ in server.log]


def test_an_openai_compatible_server_is_asked(
    agent: Any, owner: Any, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the operator's environment goes along, though the client reads it."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-operator")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    script(server, completion("Good day."))

    run = ask(owner)

    assert (run.status, run.output) == ("succeeded", {"text": "Good day."})
    assert run.cost_micros == 526  # 1234 × 0.15 + 567 × 0.60
    [request] = asked(server)
    body = json.loads(request.get_data())
    assert body["model"] == MODEL
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == "hello"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["idempotency-key"].startswith(run.id.hex)
    assert "operator" not in str(request.headers)
    assert {name.lower() for name in dict(request.headers)} <= {
        *("host", "accept", "accept-encoding", "content-length", "content-type", "user-agent"),
        *("connection", "authorization", "idempotency-key", "traceparent", "tracestate"),
    }


def test_a_tool_goes_the_whole_way(agent: Any, owner: Any, server: HTTPServer) -> None:
    let_call(owner, agent, make_agent(owner))
    call = completion(tool="echo__echo", input={"text": "over the wire"})
    script(server, call, completion("It said so."))

    run = ask(owner)

    assert run.output == {"text": "It said so."}
    assert run.cost_micros == 1051  # 2 × 525.3
    first, second = (json.loads(request.get_data()) for request in asked(server))
    assert [tool["function"]["name"] for tool in first["tools"]] == ["echo__echo"]
    told = second["messages"][-1]
    assert (told["role"], json.loads(told["content"])) == ("tool", {"text": "over the wire"})
    assert Run.objects.get(parent_id=run.id).output == {"text": "over the wire"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_is_down_for_a_moment_is_asked_again(
    agent: Any, owner: Any, server: HTTPServer, status: int
) -> None:
    script(server, status, completion("Good day."))

    assert ask(owner).output == {"text": "Good day."}
    first, second = asked(server)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.get_data() == second.get_data()


def test_a_provider_says_how_long_to_wait(
    agent: Any, owner: Any, server: HTTPServer, waits: list[float]
) -> None:
    script(server, (429, {"Retry-After": "7"}), completion("Good day."))

    assert ask(owner).status == "succeeded"
    assert waits == [7]


def test_one_that_stays_down_is_asked_three_times(
    agent: Any, owner: Any, server: HTTPServer
) -> None:
    script(server, 503, 503, 503)

    run = ask(owner)

    assert (run.status, run.error["code"]) == ("failed", "model_unavailable")
    assert (len(asked(server)), run.cost_micros) == (3, 0)
    [step] = list_steps(run.id)
    assert step.error == {"code": "model_unavailable", "message": "The provider answered 503."}


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_final_and_quotes_nothing(
    agent: Any, owner: Any, server: HTTPServer, status: int
) -> None:
    script(server, status)

    run = ask(owner)

    assert run.error["code"] == "model_refused"
    assert run.error["message"].startswith(f"The provider answered {status}.")
    assert KEY not in str(run.error)
    assert len(asked(server)) == 1


def test_a_redirect_takes_the_key_nowhere(agent: Any, owner: Any, server: HTTPServer) -> None:
    script(server, (307, {"Location": server.url_for("/elsewhere")}))

    run = ask(owner)

    assert (run.status, run.error["code"]) == ("failed", "model_not_allowed")
    assert [request.path for request in asked(server)] == ["/v1/chat/completions"]


def test_what_is_no_answer_ends_the_run(agent: Any, owner: Any, server: HTTPServer) -> None:
    on = server.expect_request("/v1/chat/completions")
    on.respond_with_data('{"choices": 5}', content_type="application/json")

    assert ask(owner).error["code"] == "model_answer_invalid"


def test_this_machine_is_reached_only_where_that_is_allowed(
    agent: Any, owner: Any, server: HTTPServer, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The control is every other test here."""
    from apps.common import egress
    from apps.common.egress import EgressClient, EgressPolicy

    settings.EGRESS_ALLOW_LOOPBACK = False
    monkeypatch.setattr(egress, "default_client", lambda: EgressClient(EgressPolicy()))
    script(server, completion("Good day."))

    assert ask(owner).error["code"] == "model_not_allowed"
    assert asked(server) == []


def test_anthropic_is_asked_in_its_own_words(
    owner: Any, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-operator")
    price(owner)
    provide(owner, kind="anthropic", base_url=server.url_for("/").rstrip("/"))
    config = {"provider": "models", "model": MODEL, "instructions": "Be brief."}
    make_agent(owner, name="Assistant", runtime="llm", config=config)

    def answer(request: Request) -> Response:
        body = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": "Good day."}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1234, "output_tokens": 567},
        }
        return Response(json.dumps(body), content_type="application/json")

    server.expect_request("/v1/messages", method="POST").respond_with_handler(answer)

    run = ask(owner)

    assert (run.output, run.cost_micros) == ({"text": "Good day."}, 526)
    [request] = asked(server)
    assert request.headers["x-api-key"] == KEY
    assert "authorization" not in request.headers
    assert "operator" not in str(request.headers)
    assert json.loads(request.get_data())["messages"][0]["role"] == "user"
