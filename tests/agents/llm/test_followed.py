"""From end to end: an agent asked over HTTP for its events, a provider that streams, two tools."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from apps.runs import streams
from apps.runs.models import Run, RunEvent
from apps.runs.services import context, invoke
from tests.agents.conftest import loopback  # noqa: F401
from tests.agents.factories import let_call, make_agent
from tests.agents.llm.conftest import MODEL, price, provide
from tests.agents.llm.streaming import Provider, openai_calls, openai_says, streamed
from tests.common.egress.world import serving
from tests.runs.following import read_stream
from tests.runs.test_streams import World, until

PATIENCE = 20.0


@pytest.fixture
def site(loopback: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:  # noqa: F811
    monkeypatch.setattr(context, "DELTA_EVERY", 0.0)
    monkeypatch.setattr(streams, "places", streams.Places())
    # Tasks are carried out within the request here; this one waits for a worker, as it does served.
    monkeypatch.setattr(invoke, "enqueue", lambda name, **values: None)
    with serving(Provider()) as provider:
        yield provider


@pytest.fixture
def world(throwaway_org: Any, site: Provider) -> Iterator[World]:
    """An org that really commits, with an agent that may call two others."""
    found = World(throwaway_org())
    owner = found.owner
    with found.inside():
        price(owner)
        provide(owner, base_url=f"{site.url}/v1")
        config = {"provider": "models", "model": MODEL}
        agent = make_agent(owner, name="Assistant", runtime="llm", config=config)
        let_call(owner, agent, make_agent(owner))
        calculator = make_agent(owner, name="Calculator", config={"skill": "calculator"})
        let_call(owner, agent, calculator)
    yield found
    connections.close_all()


def test_who_follows_reads_the_answer_before_the_run_is_over(world: World, site: Provider) -> None:
    """The provider keeps its last words until the client has read the first."""
    read = threading.Event()

    def slowly() -> Iterator[bytes]:
        parts = openai_says("Echo says hi, ", "and six times seven ", "is 42.", tokens=(1350, 78))
        yield from parts[:2]
        assert read.wait(PATIENCE)
        yield from parts[2:]

    calls = ("echo__echo", {"text": "hi"}), ("calculator__calculator", {"expression": "6*7"})
    site.answers = [streamed(openai_calls(*calls, tokens=(1200, 45))), streamed(slowly())]

    async def scenario() -> Any:
        body = {"input": {"text": "Ask both."}}
        exchange = world.ask("/agents/assistant/invoke", method="POST", body=body)
        following = world.start(exchange)
        await until(lambda: b"queued" in exchange.content)
        working = asyncio.create_task(sync_to_async(world.work, thread_sensitive=False)())
        await until(lambda: b"Echo says hi" in exchange.content)
        assert not following.done()
        assert b"event: end" not in exchange.content
        read.set()
        await asyncio.wait_for(asyncio.gather(following, working), PATIENCE)
        return read_stream(exchange.content)

    told = asyncio.run(scenario())

    run = told[-1].data
    assert (told[-1].kind, run["status"]) == ("end", "succeeded")
    assert run["output"] == {"text": "Echo says hi, and six times seven is 42."}
    deltas = [event.data["text"] for event in told if event.kind == "delta"]
    assert len(deltas) == 3 and "".join(deltas) == run["output"]["text"]

    # By the price table: 0.15 a token in, 0.60 a token out, in micro-dollars; rounded up once.
    first = Decimal(1200) * Decimal("0.15") + Decimal(45) * Decimal("0.60")
    second = Decimal(1350) * Decimal("0.15") + Decimal(78) * Decimal("0.60")
    assert (first, second, first + second) == (Decimal("207"), Decimal("249.3"), Decimal("456.3"))
    assert run["cost_micros"] == 457
    assert run["usage"] == {"requests": 2, "input_tokens": 2550, "output_tokens": 123}

    with world.inside():
        row = Run.objects.get(agent__slug="assistant")
        assert (row.cost_micros, row.usage) == (457, run["usage"])
        children = Run.objects.filter(parent=row).order_by("created_at")
        assert [child.agent.slug for child in children] == ["echo", "calculator"]
        assert [child.output for child in children] == [{"text": "hi"}, {"value": 42}]
        rows = RunEvent.objects.filter(run=row).order_by("seq")
        kinds = [event.kind for event in rows]
        assert kinds.index("delta") < len(kinds) - 1 - kinds[::-1].index("status")
