"""An `llm` agent that asks for it is given a conversation's earlier turns, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pydantic_ai.messages import ModelResponse, UserPromptPart

from apps.agents.models import Agent
from apps.runs.models import Run, RunLog
from apps.runs.selectors import list_steps
from apps.runs.services.invoke import Ask, invoke
from tests.agents.factories import errors, let_call, make_agent
from tests.agents.llm.conftest import MODEL, says, wants
from tests.tenants.browsing import as_member

SESSION = "ticket-1"


@pytest.fixture
def ask(owner: Any) -> Callable[..., Any]:
    """Has an agent answer a text in the session, for the owner; gives the run."""

    def run_of(agent: Agent, text: str, *, by: Any = owner, session: Any = SESSION) -> Any:
        wanted = Ask(agent=agent.slug, input={"text": text}, session_id=session)
        return invoke(wanted, caller=by, at=timezone.now()).run

    return run_of


@pytest.fixture
def parrot(play: Any) -> list[Any]:
    """A model that says what it was last told, with a bang."""
    seen: list[Any] = play(lambda messages, info: says(f"{messages[-1].parts[0].content}!"))
    return seen


def told(seen: list[Any]) -> list[str]:
    """All that the model was told with the last request, in order; answers stand in brackets."""
    found: list[str] = []
    for message in seen[-1][0]:
        if isinstance(message, ModelResponse):
            found.append(f"[{message.text}]")
        else:
            found += [str(p.content) for p in message.parts if isinstance(p, UserPromptPart)]
    return found


def test_the_model_is_given_what_was_said_before(ask: Any, make_llm: Any, parrot: Any) -> None:
    agent = make_llm(conversation={"turns": 2}, instructions="Be brief.")
    for text in ("a", "b", "c", "d"):
        ask(agent, text)
        assert "Be brief." in parrot[-1][1].instructions
    assert told(parrot) == ["b", "[b!]", "c", "[c!]", "d"]
    ask(agent, "e", session="another")
    assert told(parrot) == ["e"]
    ask(agent, "f", session=None)
    assert told(parrot) == ["f"]


def test_who_does_not_ask_for_it_is_given_nothing(ask: Any, make_llm: Any, parrot: Any) -> None:
    agent = make_llm()
    ask(agent, "a")
    assert ask(agent, "b").session_id == SESSION
    assert told(parrot) == ["b"]


def test_another_members_turns_are_never_given(
    ask: Any, make_llm: Any, parrot: Any, somebody: Any
) -> None:
    agent, member = make_llm(conversation={"turns": 50}), somebody("member")
    ask(agent, "the owner's secret")
    ask(agent, "b", by=member)
    assert told(parrot) == ["b"]
    ask(agent, "c", by=member)
    assert told(parrot) == ["b", "[b!]", "c"]
    ask(agent, "d")
    assert told(parrot) == ["the owner's secret", "[the owner's secret!]", "d"]


def test_what_is_no_text_is_given_as_json(ask: Any, make_llm: Any, play: Any, owner: Any) -> None:
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = {"name": "count", "input_schema": {"type": "object"}, "output_schema": number}
    agent = make_llm(conversation={"turns": 1}, capabilities=[tool])
    seen = play(lambda messages, info: says("", wants("final_result", n=7)))

    for each in ({"of": "ü"}, {"of": "b"}):
        wanted = Ask(agent=agent.slug, input=each, session_id=SESSION)
        run = invoke(wanted, caller=owner, at=timezone.now()).run
        assert run.output == {"n": 7}

    first, answer, second = told(seen)
    assert (json.loads(first), json.loads(second)) == ({"of": "ü"}, {"of": "b"})
    assert json.loads(answer[1:-1]) == {"n": 7}


@pytest.mark.parametrize("redact", [False, True])
def test_the_record_does_not_repeat_what_was_given(
    ask: Any, make_llm: Any, play: Any, owner: Any, redact: bool
) -> None:
    agent, echo = make_llm(conversation={"turns": 5}, redact=redact), make_agent(owner)
    let_call(owner, agent, echo)
    answers = iter(
        [says("canary out"), says("", wants("echo__echo", text="x")), says("done"), says("end")]
    )
    seen = play(lambda messages, info: next(answers))
    ask(agent, "canary in")

    run = ask(agent, "next")

    assert told(seen)[:2] == ["canary in", "[canary out]"]
    steps = list_steps(run.id)
    assert [step.name for step in steps] == [f"chat {MODEL}", "echo.echo", f"chat {MODEL}"]
    kept = json.dumps([[step.input, step.output] for step in steps])
    lines = list(RunLog.objects.filter(run_id=run.id).values_list("message", "fields"))
    assert "canary" not in kept + json.dumps(lines)
    assert lines == [("The model was given earlier turns.", {"turns": 1})]
    assert not RunLog.objects.exclude(run_id=run.id).exists()
    assert ("next" in kept) is not redact  # the control


def test_a_run_that_failed_is_not_given(ask: Any, make_llm: Any, play: Any) -> None:
    agent = make_llm(conversation={"turns": 5})
    answers = iter([says("one"), says(), says("three")])
    seen = play(lambda messages, info: next(answers))
    statuses = [ask(agent, text).status for text in ("a", "b", "c")]
    assert statuses == ["succeeded", "failed", "succeeded"]
    assert told(seen) == ["a", "[one]", "c"]


# The config


def body(**config: Any) -> dict[str, Any]:
    whole = {"provider": "models", "model": MODEL, **config}
    return {"name": "Assistant", "runtime": "llm", "config": whole}


@pytest.mark.parametrize("turns", [1, 50])
def test_it_says_how_many(api: Any, provider: Any, turns: int) -> None:
    made = api.post("/agents", body(conversation={"turns": turns}))
    assert made.status_code == 201, made.content
    assert made.json()["config"]["conversation"] == {"turns": turns}


def test_nothing_said_is_none(api: Any, provider: Any) -> None:
    made = api.post("/agents", body(conversation={}))
    assert "conversation" not in made.json()["config"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"turns": 0}, "config.conversation.turns"),
        ({"turns": 51}, "config.conversation.turns"),
        ({"turns": True}, "config.conversation.turns"),
        ({"turns": 1.0}, "config.conversation.turns"),
        ({"turns": "5"}, "config.conversation.turns"),
        ({"turns": None}, "config.conversation.turns"),
        ({"turns": 5, "runs": 1}, "config.conversation.runs"),
        (5, "config.conversation"),
        (None, "config.conversation"),
    ],
)
def test_what_it_may_not_say(api: Any, provider: Any, said: Any, field: str) -> None:
    assert list(errors(api.post("/agents", body(conversation=said)))) == [field]
    assert not Agent.objects.exists()


def test_the_form_has_it(org: Any, owner: Any, make_llm: Any) -> None:
    make_llm(conversation={"turns": 7})
    browser, url = as_member(org, owner), "/agents/assistant/settings/"
    page = browser.get(url)
    form = page.context["form"]
    assert b'name="conversation" value="7"' in page.content
    data = {bound.name: bound.value() or "" for bound in form}
    data["parameters"] = data["limits"] = data["redact"] = ""

    def kept(turns: str) -> Any:
        version = browser.get(url).context["form"]["version"].value()
        answer = browser.post(url, {**data, "version": version, "conversation": turns})
        return answer.status_code, Agent.objects.get().config.get("conversation")

    assert kept("9") == (303, {"turns": 9})
    assert kept("51") == (422, {"turns": 9})
    assert kept("") == (303, None)
    assert Run.objects.count() == 0
