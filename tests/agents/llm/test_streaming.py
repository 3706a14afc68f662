"""A run that is followed is told its model's answer while the provider gives it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.services.agents import update_agent
from apps.runs import spine
from apps.runs.models import Run, RunEvent
from apps.runs.selectors import get_run, list_steps
from apps.runs.services import context
from apps.runs.services.control import cancel_run
from apps.runs.services.invoke import Ask, invoke, work_one
from tests.agents.factories import let_call, make_agent
from tests.agents.llm.conftest import KEY, MODEL, completion, price, provide
from tests.agents.llm.streaming import (
    Provider,
    anthropic_says,
    chunk,
    openai_calls,
    openai_says,
    refused,
    streamed,
    usage,
    whole,
)
from tests.common.egress.world import serving

PATIENCE = 20.0
SAYS = {"openai": openai_says, "anthropic": anthropic_says}


@pytest.fixture
def site(loopback: None, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(context, "DELTA_EVERY", 0.0)
    # Leases are renewed on a connection of their own, which sees nothing of a test's transaction.
    monkeypatch.setattr(spine, "renew_leases", lambda holds: {hold.run_id for hold in holds})
    with serving(Provider()) as provider:
        yield provider


@pytest.fixture
def make(owner: Any, site: Provider) -> Callable[..., Any]:
    """An agent of the provider on this machine: `make("anthropic")`."""
    price(owner)

    def made(kind: str = "openai", capabilities: Any = None, **config: Any) -> Any:
        base = f"{site.url}/v1" if kind == "openai" else site.url
        provide(owner, kind=kind, base_url=base)
        whole = {"provider": "models", "model": MODEL, **config}
        return make_agent(
            owner, name="Assistant", runtime="llm", config=whole, capabilities=capabilities
        )

    return made


def follow(owner: Any) -> Any:
    """The run, carried out where somebody may follow it."""
    wanted = Ask(agent="assistant", input={"text": "hello"}, mode="async")
    run_id = invoke(wanted, caller=owner.actor, at=timezone.now()).run.id
    assert work_one(at=timezone.now())
    return get_run(run_id)


def ask(owner: Any) -> Any:
    wanted = Ask(agent="assistant", input={"text": "hello"}, mode="sync")
    return invoke(wanted, caller=owner.actor, at=timezone.now()).run


def told(run_id: Any) -> list[tuple[str, str]]:
    """What who follows the run was told, each kind with its gist."""
    rows = RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("kind", "data")
    gist = {"delta": "text", "status": "status", "step": "status", "log": "message"}
    return [(kind, data[gist[kind]]) for kind, data in rows]


def words(run_id: Any) -> list[str]:
    return [text for kind, text in told(run_id) if kind == "delta"]


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


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_run_that_is_cancelled_meanwhile_hangs_up_on_the_provider(
    make: Any, owner: Any, site: Provider, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(kind)
    really = context.Context.delta

    def delta(self: Any, text: str) -> None:
        if text == "word 3":
            cancel_run(run_id=self.hold.run_id, actor=owner.actor, at=timezone.now())
        really(self, text)

    def endless() -> Iterator[bytes]:
        parts = SAYS[kind](*(f"word {number}" for number in range(10_000)))
        yield from parts[:20]
        for part in parts[20:]:
            site.left.wait(0.01)
            yield part

    monkeypatch.setattr(context.Context, "delta", delta)
    site.answers = [streamed(endless())]

    run = follow(owner)

    assert (run.status, run.reason) == ("cancelled", "by_hand")
    assert site.left.wait(PATIENCE)
    assert (run.output, run.usage, run.cost_micros) == (None, None, 0)
    assert words(run.id) == ["word 0", "word 1", "word 2"]
    assert [step.status for step in list_steps(run.id)] == ["discarded"]
    assert len(site.asked) == 1


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_stream_that_breaks_is_not_begun_again(
    make: Any, owner: Any, site: Provider, kind: str
) -> None:
    """What was said can't be taken back, and who follows would hear it twice."""
    make(kind)
    said = SAYS[kind]("Good ", "day.")
    site.answers = [streamed(said[:-3], ends=False), streamed(said)]

    run = follow(owner)

    assert (run.status, run.error["code"]) == ("failed", "model_unavailable")
    assert (run.output, run.usage, run.cost_micros) == (None, None, 0)
    assert words(run.id)[0] == "Good "
    assert len(site.asked) == 1


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_stream_that_breaks_before_a_word_is_asked_again(
    make: Any, owner: Any, site: Provider, kind: str
) -> None:
    make(kind)
    said = SAYS[kind]("Good ", "day.")
    site.answers = [streamed(said[:1], ends=False), refused(503), streamed(said)]

    run = follow(owner)

    assert (run.output, words(run.id)) == ({"text": "Good day."}, ["Good ", "day."])
    keys = {headers["idempotency-key"] for _, _, headers, _ in site.asked}
    assert (len(site.asked), len(keys)) == (3, 1)
    assert run.usage["requests"] == 1


@pytest.mark.parametrize(("kind", "missing"), [("openai", 3), ("anthropic", 2)])
def test_an_answer_that_stops_without_saying_why_was_cut_off(
    make: Any, owner: Any, site: Provider, kind: str, missing: int
) -> None:
    make(kind)
    site.answers = [streamed(SAYS[kind]("Good ", "day.")[:-missing])]

    run = follow(owner)

    assert (run.status, run.error["code"]) == ("failed", "model_answer_invalid")
    assert (run.output, run.cost_micros) == (None, 0)


def test_the_fallback_says_its_answer_from_the_beginning(
    make: Any, owner: Any, site: Provider
) -> None:
    price(owner, "spare", input_micros=1_000_000, output_micros=0)
    make(fallback={"provider": "models", "model": "spare"})
    said = openai_says("Good ", "day.", tokens=(100, 20))
    site.answers = [streamed(said[:-4], ends=False), streamed(said)]

    run = follow(owner)

    assert (run.output, run.cost_micros) == ({"text": "Good day."}, 100)
    events = told(run.id)
    last = max(i for i, event in enumerate(events) if event == ("step", "running"))
    assert "".join(text for kind, text in events[last:] if kind == "delta") == "Good day."
    assert [body["model"] for body in site.bodies] == [MODEL, "spare"]


@pytest.mark.parametrize(("status", "code"), [(401, "model_refused"), (500, "model_unavailable")])
def test_a_refusal_is_what_it_is_unstreamed(
    make: Any, owner: Any, site: Provider, status: int, code: str
) -> None:
    make()
    site.answers = [refused(status)] * 3

    run = follow(owner)

    assert (run.error["code"], words(run.id)) == (code, [])
    assert len(site.asked) == (1 if status == 401 else 3)


def test_a_failure_within_the_stream_is_what_its_code_says(
    make: Any, owner: Any, site: Provider
) -> None:
    """Anthropic's API says so after it has begun with a 200."""
    make("anthropic")
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": f"{KEY} busy"}}
    event = f"event: error\ndata: {json.dumps(failure)}\n\n".encode()
    said = anthropic_says("Good ", "day.")
    site.answers = [streamed([event]), streamed([*said[:3], event]), streamed(said)]

    run = follow(owner)

    assert (run.error["code"], words(run.id)) == ("model_unavailable", ["Good "])
    assert KEY not in str(run.error)
    assert len(site.asked) == 2


def test_redaction_hides_nothing_from_who_follows(make: Any, owner: Any, site: Provider) -> None:
    """Who may follow a run may see its output."""
    make(redact=True)
    site.answers = [streamed(openai_says("Good ", "day."))]

    run = follow(owner)

    assert words(run.id) == ["Good ", "day."]
    assert "Good" not in str(list_steps(run.id)[0].output)
    assert Run.objects.get(id=run.id).output == {"text": "Good day."}
