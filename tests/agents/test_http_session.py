"""What an agent's endpoint is told of the conversation that a call belongs to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from apps.agents.models import Agent
from apps.agents.runtimes.signing import secret_ref
from apps.trust.secrets import get_secret_store
from tests.agents.factories import errors, make_desk
from tests.agents.test_http_runtime import verify

ASKED = {"input": {"n": 1}, "session_id": "ticket-1"}
INVOKE = "/agents/order-desk/invoke"


@pytest.fixture
def endpoint(loopback: None, httpserver: HTTPServer) -> HTTPServer:
    httpserver.expect_request("/agent").respond_with_json({"done": True})
    return httpserver


def desk(owner: Any, endpoint: HTTPServer, **config: Any) -> Agent:
    return make_desk(owner, config={"url": endpoint.url_for("/agent"), **config})


def messages(endpoint: HTTPServer) -> list[Any]:
    return [json.loads(request.get_data()) for request, _ in endpoint.log]


def test_it_is_told_the_session_and_whose_it_is(api: Any, owner: Any, endpoint: HTTPServer) -> None:
    desk(owner, endpoint)
    me = api.get("/me").json()["principal"]["id"]

    for body in (ASKED, ASKED, {"input": {"n": 1}}):
        assert api.post(INVOKE, body).json()["status"] == "succeeded"

    told = [message.get("session") for message in messages(endpoint)]
    assert told == [{"id": "ticket-1", "caller": me}] * 2 + [None]


def test_with_turns_it_is_told_them_signed(
    api: Any, api_as: Any, owner: Any, endpoint: HTTPServer
) -> None:
    agent, other = desk(owner, endpoint, conversation={"turns": 2}), api_as("member")
    secret = get_secret_store().get(secret_ref(agent.id)).decode()
    for client, n in ((other, 0), (api, 1), (api, 2), (api, 3), (api, 4)):
        client.post(INVOKE, {**ASKED, "input": {"n": n}})

    turns = [message["session"]["turns"] for message in messages(endpoint)]
    made = [{"input": {"n": n}, "output": {"done": True}} for n in (1, 2, 3)]
    assert turns == [[], [], made[:1], made[:2], made[1:]]
    for request, _ in endpoint.log:
        verify(secret, request)


@pytest.mark.parametrize("said", [{"turns": 0}, {"turns": 51}])
def test_a_config_that_will_not_do_is_told(api: Any, endpoint: HTTPServer, said: Any) -> None:
    config = {"url": endpoint.url_for("/agent"), "conversation": said}
    made = api.post("/agents", {"name": "Desk", "runtime": "http", "config": config})
    assert list(errors(made)) == ["config.conversation.turns"]
    assert not Agent.objects.exists()
