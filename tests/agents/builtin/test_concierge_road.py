"""The concierge on the real road: a stranger's tool is granted, asked for, used, and taken away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer

from apps.agents.models import Agent
from apps.agents.services import grants
from apps.common.ids import public_id
from apps.runs.models import Run, Step
from apps.runs.selectors import RunView
from apps.runs.services.invoke import Ask, invoke
from tests.agents.factories import let_call, make_agent, make_desk
from tests.orgs.conftest import AT

QUESTION = "What is the tide at the harbour of Bergen tomorrow?"
TIDES = {
    "name": "predict_tide",
    "description": "Predicts the tide at a harbour: when the water is high, and how high.",
    "annotations": {"read_only": True},
    "input_schema": {
        "type": "object",
        "properties": {"question": {"type": "string", "description": "Which harbour, and when."}},
        "required": ["question"],
        "additionalProperties": False,
    },
    "output_schema": {
        "type": "object",
        "properties": {"tide": {"type": "string"}},
        "required": ["tide"],
    },
}


@pytest.fixture
def concierge(owner: Any) -> Agent:
    return make_agent(owner, name="Concierge", config={"skill": "concierge"})


@pytest.fixture
def tides(owner: Any, loopback: None, httpserver: HTTPServer) -> Agent:
    """An agent that nothing in the product knows of, behind its owner's endpoint."""
    httpserver.expect_request("/tides").respond_with_json({"tide": "1.4 m at 06:12"})
    config = {"url": httpserver.url_for("/tides")}
    return make_desk(owner, name="Tide tables", config=config, capabilities=[TIDES])


def ask(owner: Any) -> RunView:
    order = Ask(agent="concierge", input={"question": QUESTION})
    return invoke(order, caller=owner, at=timezone.now()).run


def test_a_strangers_tool_is_used_once_granted_and_no_more_once_revoked(
    owner: Any, concierge: Agent, tides: Agent, httpserver: HTTPServer
) -> None:
    before = ask(owner)
    assert (before.status, before.output["used"], before.children) == ("succeeded", [], ())  # type: ignore[index]

    grant = let_call(owner, concierge, tides, "predict_tide")
    asked = ask(owner)

    assert asked.output == {"answer": "tide-tables: 1.4 m at 06:12", "used": ["tide-tables"]}
    parent = Run.objects.get(id=asked.id)
    child = Run.objects.get(parent_id=asked.id)
    assert (child.agent_id, child.tool, child.status) == (tides.id, "predict_tide", "succeeded")
    assert (child.root_id, parent.root_id, parent.parent_id) == (asked.id, asked.id, None)
    assert (child.caller_type, child.caller_id) == ("agent", public_id("agt", concierge.id))
    assert child.output == {"tide": "1.4 m at 06:12"}
    assert Step.objects.get(run_id=asked.id, child_id=child.id).status == "succeeded"
    ((request, _),) = httpserver.log
    told = json.loads(request.get_data())
    assert (told["run"], told["agent"]) == (public_id("run", child.id), "tide-tables")
    assert told["input"] == child.input

    grants.revoke_grant(grant_id=grant.id, actor=owner.actor, at=AT)
    after = ask(owner)

    assert (after.status, after.output["used"], after.children) == ("succeeded", [], ())  # type: ignore[index]
    assert Run.objects.filter(parent_id=after.id).count() == 0
    assert len(httpserver.log) == 1
