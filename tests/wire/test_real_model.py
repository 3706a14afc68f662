"""The `llm` runtime and a real model, by the one way out: what was only played is so.

The model is a very small one. What it says is poor, but it is said at temperature 0: the same
request has the same answer, streamed or not, and the server counts its tokens itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.runs import spine
from apps.runs.models import RunEvent
from apps.runs.selectors import get_run, list_steps
from apps.runs.services.invoke import Ask, invoke, work_one
from tests.agents.factories import let_call, make_agent
from tests.agents.llm.conftest import TOOL, price, provide
from tests.wire.serve import NAME

pytestmark = pytest.mark.wire

ORDER = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "enum": ["Rome", "Oslo"]},
        "days": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["place", "days"],
    "additionalProperties": False,
}


@pytest.fixture
def make(
    owner: Any, address: str, loopback: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """An agent that is the real model, with temperature 0."""
    # Leases are renewed on a connection of their own, which sees nothing of a test's transaction.
    monkeypatch.setattr(spine, "renew_leases", lambda holds: {hold.run_id for hold in holds})
    price(owner, NAME)
    provide(owner, base_url=f"{address}/v1")

    def made(capabilities: Any = None, **config: Any) -> Any:
        parameters = {"temperature": 0, "max_tokens": 48}
        whole = {"provider": "models", "model": NAME, "parameters": parameters, **config}
        return make_agent(
            owner,
            name="Assistant",
            runtime="llm",
            config=whole,
            capabilities=capabilities,
            timeout_seconds=300,
        )

    return made


def ask(owner: Any, *, followed: bool, said: str = "Say hello to Ada.") -> Any:
    mode = "async" if followed else "sync"
    wanted = Ask(agent="assistant", input={"text": said}, mode=mode)
    began = time.monotonic()
    run_id = invoke(wanted, caller=owner, at=timezone.now()).run.id
    if followed:
        assert work_one(at=timezone.now())
    run = get_run(run_id)
    deltas = RunEvent.objects.filter(run_id=run_id, kind="delta").count()
    print(  # noqa: T201 - the figures are what one runs this for
        f"\n{'streamed' if followed else 'whole':>8}: {time.monotonic() - began:.1f} s,"
        f" {run.usage}, {run.cost_micros} µ$, {deltas} deltas, {run.output}"
    )
    return run


def cost_of(run: Any) -> int:
    """By the price table, in micro-dollars; one that was begun counts whole."""
    tokens_in, tokens_out = run.usage["input_tokens"], run.usage["output_tokens"]
    exact = Decimal(tokens_in) * Decimal("0.15") + Decimal(tokens_out) * Decimal("0.60")
    return math.ceil(exact)


def test_an_answer_is_the_same_streamed_and_not(make: Any, owner: Any) -> None:
    make()

    whole, again, streamed = (ask(owner, followed=how) for how in (False, False, True))

    assert whole.status == again.status == streamed.status == "succeeded"
    assert whole.output == again.output == streamed.output
    assert whole.output["text"].strip()
    assert whole.usage == again.usage == streamed.usage
    assert 0 < whole.usage["output_tokens"] <= 48
    assert whole.cost_micros == streamed.cost_micros == cost_of(whole)

    rows = RunEvent.objects.filter(run_id=streamed.id).order_by("seq")
    told = [row.data["text"] for row in rows if row.kind == "delta"]
    assert "".join(told) == streamed.output["text"]
    assert len(told) > 1
    [step] = list_steps(streamed.id)
    assert step.output["usage"]["output_tokens"] == streamed.usage["output_tokens"]


def test_tools_are_told_a_real_server_and_it_goes_on(make: Any, owner: Any) -> None:
    """Whether so small a model calls one is its own affair."""
    agent = make(limits={"requests": 2}, tools=[TOOL])
    let_call(owner, agent, make_agent(owner))

    for followed in (False, True):
        run = ask(owner, followed=followed)
        first = next(iter(list_steps(run.id)))
        assert first.input["tools"] == ["echo__echo", "lookup_order"]
        assert first.output["usage"]["input_tokens"] > 150  # without tools they are 31
        assert run.status == "succeeded" or run.error["code"] == "limit_reached"
        assert run.cost_micros == cost_of(run)


def test_an_answer_with_a_schema_is_kept_or_the_limit_is(make: Any, owner: Any) -> None:
    """The server takes the forced call of the answer's tool; the model may not."""
    make(capabilities=[{"name": "find", "output_schema": ORDER}], limits={"requests": 2})

    run = ask(owner, followed=True, said="The order is in Rome and takes 2 days.")

    if run.status == "succeeded":
        assert run.output["place"] in ("Rome", "Oslo") and 0 <= run.output["days"] <= 9
    else:
        assert (run.error["code"], run.usage["requests"]) == ("limit_reached", 2)
    assert run.cost_micros == cost_of(run)
    assert not RunEvent.objects.filter(run_id=run.id, kind="delta").exists()
