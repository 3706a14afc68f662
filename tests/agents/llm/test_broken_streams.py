"""Streams that end before their end: cancelled, broken, cut off, refused, failing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from apps.runs.selectors import list_steps
from apps.runs.services import context
from apps.runs.services.control import cancel_run
from tests.agents.llm.conftest import KEY, MODEL, price
from tests.agents.llm.streaming import (
    PATIENCE,
    SAYS,
    Provider,
    anthropic_says,
    follow,
    openai_says,
    refused,
    streamed,
    told,
    words,
)


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
