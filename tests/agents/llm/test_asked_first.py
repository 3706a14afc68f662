"""An `llm` agent whose tool needs a person's word goes on where it was, and says nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.usage import RequestUsage
from pytest_httpserver import HTTPServer

from apps.agents.runtimes.llm import recording
from apps.approvals.models import Approval
from apps.approvals.services import outcome, voting
from apps.policies.models import Attachment, Decision
from apps.runs.models import Run, Step
from apps.runs.services.invoke import Ask, invoke, work_one
from tests.agents.llm.conftest import TOOL, says, wants
from tests.agents.llm.test_own_tools import asking
from tests.orgs.conftest import Api
from tests.policies.factories import DENY
from tests.runs.conftest import nothing_is_remembered  # noqa: F401 - of policies and hosts
from tests.runs.governing import in_force

NEW_HOST = 'require_approval contains "The host is new." if input.context.host_is_new\n'


@pytest.mark.parametrize("redact", [False, True])
def test_what_the_model_said_before_it_waited_is_not_asked_for_again(
    redact: bool,
    owner: Any,
    somebody: Callable[..., Any],
    make_llm: Any,
    play: Any,
    loopback: None,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/orders", method="POST").respond_with_json({"place": "Oslo"})
    seen = play(asking(wants("lookup_order", order="A17")))
    tool = {**TOOL, "url": httpserver.url_for("/orders"), "annotations": {"read_only": False}}
    agent = make_llm(tools=[tool], redact=redact, buffered=True)
    in_force(NEW_HOST)

    wanted = Ask(agent=agent.slug, input={"text": "hello"})
    run = invoke(wanted, caller=owner, at=timezone.now()).run
    assert (run.status, len(seen), len(httpserver.log)) == ("awaiting_approval", 1, 0)
    approval = Approval.objects.get()
    assert approval.payload["input"] == {"order": "A17"}
    voting.approve(approval_id=approval.id, voter=somebody("admin"), comment="", at=timezone.now())
    outcome.tell_subject(approval_id=approval.id, at=timezone.now())
    assert work_one(at=timezone.now())

    done = Run.objects.get()
    assert (done.status, done.output) == ("succeeded", {"text": '{"place": "Oslo"}'})
    assert len(httpserver.log) == 1
    # A record that doesn't say what was said can't be gone on from: the model is asked once more.
    assert len(seen) == (3 if redact else 2)
    assert done.usage["requests"] == len(seen)
    assert Approval.objects.get().status == "consumed"


def test_each_call_that_is_recalled_has_an_id_of_its_own(
    owner: Any,
    somebody: Callable[..., Any],
    make_llm: Any,
    play: Any,
    loopback: None,
    httpserver: HTTPServer,
) -> None:
    """Anthropic's API refuses a conversation in which one stands twice."""
    httpserver.expect_request("/orders", method="POST").respond_with_json({"place": "Oslo"})
    answers = [
        says("", wants("lookup_order", order="A17"), wants("lookup_order", order="A18")),
        says("", wants("change_order", order="A17")),
        says("Done."),
    ]
    seen = play(lambda messages, info: answers.pop(0))
    url = httpserver.url_for("/orders")
    reads = {**TOOL, "url": url, "annotations": {"read_only": True}}
    writes = {**TOOL, "url": url, "name": "change_order", "annotations": {"read_only": False}}
    agent = make_llm(tools=[reads, writes], buffered=True)
    in_force('require_approval contains "Ask." if input.resource.tool == "change_order"\n')

    invoke(Ask(agent=agent.slug, input={"text": "hello"}), caller=owner, at=timezone.now())
    approval = Approval.objects.get()
    voting.approve(approval_id=approval.id, voter=somebody("admin"), comment="", at=timezone.now())
    outcome.tell_subject(approval_id=approval.id, at=timezone.now())
    assert work_one(at=timezone.now())

    assert (Run.objects.get().output, len(seen)) == ({"text": "Done."}, 3)
    parts = [part for message in seen[-1][0] for part in message.parts]
    asked = [part.tool_call_id for part in parts if isinstance(part, ToolCallPart)]
    assert asked == [part.tool_call_id for part in parts if isinstance(part, ToolReturnPart)]
    assert asked == ["call00100", "call00101", "call00200"]


@pytest.mark.parametrize("action", ["agent.invoke", "tool.call"])
def test_where_something_is_hidden_the_model_is_not_asked_again_either(
    action: str,
    owner: Any,
    somebody: Callable[..., Any],
    make_llm: Any,
    play: Any,
    loopback: None,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/orders", method="POST").respond_with_json({"place": "Oslo"})
    seen = play(asking(wants("lookup_order", order="A-17")))
    tool = {**TOOL, "url": httpserver.url_for("/orders"), "annotations": {"read_only": False}}
    agent = make_llm(tools=[tool], buffered=True)
    paths = '["input.text", "input.order", "output.place"]'
    in_force(f'{NEW_HOST}obligations := {{"mask": {paths}}} if input.action.name == "{action}"\n')

    invoke(Ask(agent=agent.slug, input={"text": "hello"}), caller=owner, at=timezone.now())
    approval = Approval.objects.get()
    assert approval.payload["input"] == {"order": "[masked]"}
    voting.approve(approval_id=approval.id, voter=somebody("admin"), comment="", at=timezone.now())
    outcome.tell_subject(approval_id=approval.id, at=timezone.now())
    assert work_one(at=timezone.now())

    done = Run.objects.get()
    assert (done.status, done.output) == ("succeeded", {"text": '{"place": "[masked]"}'})
    assert (len(httpserver.log), len(seen)) == (1, 2)
    steps = Step.objects.filter(run=done, name__startswith="chat ").order_by("started_at")
    told = [step.input["messages"] for step in steps]
    first = [{"role": "user", "text": "hello"}] if action == "tool.call" else 1
    assert told == [first, first, 1]
    assert steps.last().output["tool_calls"] == []  # type: ignore[union-attr]
    assert "Oslo" not in str(list(Step.objects.values_list("input", "output", "error")))


def test_a_policy_may_be_attached_to_a_tool_of_an_agents_own(
    owner: Any, api: Api, make_llm: Any, play: Any, loopback: None, httpserver: HTTPServer
) -> None:
    """The effects are those tools', and not what the agent offers."""
    httpserver.expect_request("/orders", method="POST").respond_with_json({"place": "Oslo"})
    url = httpserver.url_for("/orders")
    tools = [{**TOOL, "url": url}, {**TOOL, "url": url, "name": "change_order"}]
    agent = make_llm(tools=tools)
    play(asking(wants("lookup_order", order="A17"), wants("change_order", order="A17")))
    # Instead of the starter policy, which would ask about both.
    Attachment.objects.all().delete()
    body = {"name": "Hands off", "rego_text": DENY}
    place = {"scope": "tool", "id": f"{agent.slug}/change_order"}
    made = api.post("/policies", {**body, "attach": place}).json()
    assert made["attachments"][0]["name"] == place["id"]
    assert api.post(f"/policies/{made['id']}/activate").status_code == 200

    run = invoke(Ask(agent=agent.slug, input={"text": "hello"}), caller=owner, at=timezone.now())
    looked, changed = run.run.output["text"].split(" | ")
    assert looked == '{"place": "Oslo"}' and '"policy"' in changed
    assert len(httpserver.log) == 1
    assert [(d.tool, d.result) for d in Decision.objects.all()] == [("change_order", "deny")]


def test_an_answer_is_recalled_as_it_was_kept() -> None:
    said = ModelResponse(
        [TextPart("One moment."), ToolCallPart("lookup_order", {"order": "A17"}, "x")],
        usage=RequestUsage(input_tokens=7, output_tokens=5),
        finish_reason="tool_call",
    )
    kept = recording.answered(said, redact=False)
    again = recording.recalled(kept, 1)
    assert recording.answered(again, redact=False) == kept
    assert again.usage.total_tokens == 12
    assert recording.digest([again]) == recording.digest([said])
