"""What one invocation costs: every statement of the whole request, as libpq saw it go out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from apps.agents.services.agents import create_agent
from apps.runs.models import Run
from apps.tenants import keys
from apps.tenants.models import Org
from config.handler import Handler
from tests.common.exchange import Exchange
from tests.orgs.conftest import owner_of, token_for
from tests.runs.wire import tapping

ROUND_TRIPS = 3
"""Key checked, run admitted, run settled: the connection has the org's keys on from before."""


@pytest.fixture
def pool_of_one(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A pool whose only connection serves every request, so that it is warm and can be tapped."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"]["pool"], "max_size", 1)
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]
    yield connection.pool  # type: ignore[attr-defined]
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def org(pool_of_one: Any, throwaway_org: Callable[[], Any]) -> Any:
    """An org of its own, with the agent `echo`, that requests may really commit in."""
    org = throwaway_org()
    owner = owner_of(org)
    with keys.holding(org.schema, org.id):
        create_agent(
            name="Echo",
            runtime="builtin",
            config={"skill": "echo"},
            accountable_id=owner.member_id,
            actor=owner.actor,
            at=timezone.now(),
        )
    return org


def invocation(org: Any) -> Callable[[], None]:
    """Sends one whole request for `echo` through the handler that serves."""
    application, token = Handler(), token_for(org, owner_of(org))
    body = json.dumps({"input": {"text": "hello"}}).encode()
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }

    def ask() -> None:
        path = "/v1/agents/echo/invoke"
        exchange = Exchange(path, method="POST", headers=headers, body=[body])
        asyncio.run(exchange.run(application))
        assert exchange.status == 200, exchange.content

    connections.close_all()
    return ask


def test_a_warm_invocation_takes_three_round_trips(org: Any, pool_of_one: Any) -> None:
    ask = invocation(org)
    ask()
    counts = []
    for _ in range(3):  # once in ten seconds a request tells the sweeper, once a minute of its key
        with tapping(pool_of_one) as wire:
            ask()
        counts.append(wire.round_trips)

    assert min(counts) == ROUND_TRIPS, counts
    with keys.holding(org.schema, org.id):
        assert Run.objects.filter(status="succeeded").count() == 4


def test_the_tap_hears_every_statement(org: Any, pool_of_one: Any) -> None:
    """The control: what a request's own counter doesn't see is counted here."""
    ask = invocation(org)
    ask()
    with tapping(pool_of_one) as quiet:
        pass
    with tapping(pool_of_one) as same, keys.holding(org.schema, org.id):
        Run.objects.count()
        connections.close_all()
    with tapping(pool_of_one) as none:
        Org.objects.count()
        connections.close_all()
    with tapping(pool_of_one) as back, keys.holding(org.schema, org.id):
        Run.objects.count()
        connections.close_all()
    assert [wire.round_trips for wire in (quiet, same, none, back)] == [0, 1, 2, 2]
    turned = [[org.schema in line[-1] for line in wire.sent].count(True) for wire in (none, back)]
    assert turned == [0, 1]
