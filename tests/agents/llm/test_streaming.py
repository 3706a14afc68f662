"""A run that is followed is told its model's answer while the provider gives it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.services.agents import update_agent
from apps.runs.models import Run
from apps.runs.selectors import list_steps
from apps.runs.services import context
from tests.agents.factories import let_call, make_agent
from tests.agents.llm.conftest import KEY, completion
from tests.agents.llm.streaming import (
    PATIENCE,
    SAYS,
    Provider,
    ask,
    chunk,
    follow,
    openai_calls,
    openai_says,
    streamed,
    told,
    usage,
    whole,
    words,
)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_an_answer_is_told_while_it_is_given(
    make: Any, owner: Any, site: Provider, kind: str
) -> None:
    make(kind)
    site.answers = [streamed(SAYS[kind]("Good ", "day", ", Ada."))]

    run = follow(owner)

    assert (run.status, run.output) == ("succeeded", {"text": "Good day, Ada."})
    assert told(run.id) == [
        ("status", "queued"),
        ("status", "running"),
        ("step", "running"),
        ("delta", "Good "),
        ("delta", "day"),
        ("delta", ", Ada."),
        ("step", "succeeded"),
        ("status", "succeeded"),
    ]
    assert site.bodies[0]["stream"] is True
    assert site.bodies[0].get("stream_options") == (
        {"include_usage": True} if kind == "openai" else None
    )
    [(_, _, headers, _)] = site.asked
    assert KEY in (headers["authorization"] if kind == "openai" else headers["x-api-key"])


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_part_is_told_before_the_next_is_there(
    make: Any, owner: Any, site: Provider, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider says no more until the first part has been passed on."""
    make(kind)
    heard = threading.Event()
    really = context.Context.delta

    def delta(self: Any, text: str) -> None:
        really(self, text)
        if text:
            heard.set()

    def slowly() -> Iterator[bytes]:
        for part in SAYS[kind]("one", "two"):
            if b'"two"' in part:
                assert heard.wait(PATIENCE)
            yield part

    monkeypatch.setattr(context.Context, "delta", delta)
    site.answers = [streamed(slowly())]

    assert follow(owner).output == {"text": "onetwo"}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_it_costs_what_the_same_answer_costs_unstreamed(
    make: Any, owner: Any, site: Provider, kind: str
) -> None:
    make(kind)
    site.answers = [streamed(SAYS[kind]("Good day.", tokens=(1234, 567)))]

    run = follow(owner)

    # What test_wire.py has for the same tokens: 1234 × 0.15 + 567 × 0.60 = 525.3.
    exact = Decimal(1234) * Decimal("0.15") + Decimal(567) * Decimal("0.60")
    assert (exact, run.cost_micros) == (Decimal("525.3"), 526)
    assert run.usage == {"requests": 1, "input_tokens": 1234, "output_tokens": 567}
    [step] = list_steps(run.id)
    assert step.output == {
        "finish_reason": "stop",
        "text": "Good day.",
        "usage": {"input_tokens": 1234, "output_tokens": 567},
    }


def test_a_count_that_grows_with_each_part_is_not_added_up(
    make: Any, owner: Any, site: Provider
) -> None:
    """Some servers say with every part what was used until then."""
    make()
    parts = openai_says("Good ", "day.", tokens=(100, 20))
    growing = []
    for number, part in enumerate(parts[:-2]):
        data = json.loads(part.decode().removeprefix("data: "))
        data["usage"] = usage(100, number)
        growing.append(f"data: {json.dumps(data)}\n\n".encode())
    site.answers = [streamed([*growing, *parts[-2:]])]

    run = follow(owner)

    assert run.usage == {"requests": 1, "input_tokens": 100, "output_tokens": 20}
    assert run.cost_micros == 27


def test_a_stream_that_counts_nothing_is_no_free_one(make: Any, owner: Any, site: Provider) -> None:
    make()
    site.answers = [streamed(openai_says("Good day.", tokens=None))]

    run = follow(owner)

    assert (run.status, run.error["code"]) == ("failed", "model_usage_unknown")
    assert (run.output, run.cost_micros) == (None, 0)


def test_texts_with_thoughts_between_are_told_as_they_stand_in_the_answer(
    make: Any, owner: Any, site: Provider
) -> None:
    make()
    said = openai_says("One.", "Two.", " Three.")
    said.insert(2, chunk({"reasoning_content": "Hm."}))
    site.answers = [streamed(said)]

    run = follow(owner)

    assert run.output == {"text": "One.\n\nTwo. Three."}
    assert words(run.id) == ["One.", "\n\nTwo.", " Three."]


def test_where_nobody_follows_the_request_is_as_ever(make: Any, owner: Any, site: Provider) -> None:
    make()
    site.answers = [whole(completion("Good day.")), streamed(openai_says("Good day."))]

    unstreamed, followed = ask(owner), follow(owner)

    assert told(unstreamed.id) == []
    assert not site.bodies[0].get("stream")
    assert "stream_options" not in site.bodies[0]
    for name in ("status", "output", "usage", "cost_micros"):
        assert getattr(unstreamed, name) == getattr(followed, name)


def test_a_server_that_cannot_stream_is_asked_for_the_whole(
    make: Any, owner: Any, site: Provider
) -> None:
    """The control is the same server, asked to stream."""
    agent = make(buffered=True)
    site.answers = [whole(completion("Good day."))] * 2

    run = follow(owner)

    assert (run.output, words(run.id)) == ({"text": "Good day."}, [])
    assert not site.bodies[0].get("stream")

    config = {name: value for name, value in agent.config.items() if name != "buffered"}
    at = timezone.now()
    update_agent(agent_id=agent.id, fields={"config": config}, actor=owner.actor, at=at)
    assert follow(owner).error["code"] == "model_answer_invalid"


def test_an_answer_with_a_schema_is_not_told_in_parts(
    make: Any, owner: Any, site: Provider
) -> None:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}}
    make(capabilities=[{"name": "find", "output_schema": schema}])
    site.answers = [whole(completion("So:", tool="final_result", input={"place": "Rome"}))]

    run = follow(owner)

    assert run.output == {"place": "Rome"}
    assert not site.bodies[0].get("stream")
    assert words(run.id) == []


def test_what_is_said_before_tools_are_called_is_told_in_its_own_step(
    make: Any, owner: Any, site: Provider
) -> None:
    let_call(owner, make(), make_agent(owner))
    call = ("echo__echo", {"text": "over the wire"})
    site.answers = [
        streamed(openai_calls(call, before="Let me see.")),
        streamed(openai_says("It said ", "so.")),
    ]

    run = follow(owner)

    assert run.output == {"text": "It said so."}
    assert told(run.id)[2:] == [
        ("step", "running"),
        ("delta", "Let me see."),
        ("step", "succeeded"),
        ("step", "running"),
        ("step", "succeeded"),
        ("step", "running"),
        ("delta", "It said "),
        ("delta", "so."),
        ("step", "succeeded"),
        ("status", "succeeded"),
    ]
    result = site.bodies[1]["messages"][-1]
    assert json.loads(result["content"]) == {"text": "over the wire"}


def test_redaction_hides_nothing_from_who_follows(make: Any, owner: Any, site: Provider) -> None:
    """Who may follow a run may see its output."""
    make(redact=True)
    site.answers = [streamed(openai_says("Good ", "day."))]

    run = follow(owner)

    assert words(run.id) == ["Good ", "day."]
    assert "Good" not in str(list_steps(run.id)[0].output)
    assert Run.objects.get(id=run.id).output == {"text": "Good day."}
