"""What the tests of runs share: people and clients of the orgs' tests, and a scripted runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.agents import directory
from apps.agents.runtimes import base
from apps.common.lru import WeighedCache
from apps.policies.services import deciding
from apps.runs.services import effects
from tests.orgs.conftest import *  # noqa: F403

Script = Callable[[Any, Any], dict[str, Any]]


class Scripted:
    """A runtime whose work is what a test says: one function an agent."""

    kind = "scripted"
    signs = False
    offers = base.ANYTHING

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}

    def check_config(self, config: Any) -> dict[str, Any]:
        return dict(config)

    def waits(self, config: Any) -> bool:
        return bool(config.get("waits"))

    def tools(self, config: Any) -> None:
        return None

    def is_long(self, config: Any) -> bool:
        return False

    def run(self, invocation: Any, ctx: Any) -> dict[str, Any]:
        return self.scripts[invocation.agent](invocation, ctx)


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the agents, policies and hosts of another test, whose rows are rolled back."""
    monkeypatch.setattr(directory, "_listings", WeighedCache(directory.LISTINGS_KEPT))
    monkeypatch.setattr(deciding, "_bundles", WeighedCache(deciding.BUNDLES_KEPT))
    monkeypatch.setattr(effects, "_hosts", WeighedCache(effects.HOSTS_KEPT))


@pytest.fixture
def asker(somebody: Any) -> Any:
    """Who has agents do something."""
    return somebody("member")


@pytest.fixture
def boss(somebody: Any) -> Any:
    """Who agrees to it."""
    return somebody("admin")


@pytest.fixture
def scripts() -> Iterator[dict[str, Script]]:
    """What each scripted agent does: `scripts["echo"] = lambda invocation, ctx: {...}`."""
    runtime = Scripted()
    base.register(runtime)
    yield runtime.scripts
    base._runtimes.pop(runtime.kind)


@pytest.fixture
def as_if_many(as_superuser: Callable[[str], int]) -> None:
    """A million runs, for the planner, and nothing said of their values: what it may have counted
    of the tests' few makes one index as good as another.
    """
    as_superuser(
        "delete from pg_statistic where starelid = 'runs'::regclass;"
        "update pg_class set reltuples = 1e6, relpages = greatest(pg_relation_size(oid) / 8192, 1)"
        " where oid = 'runs'::regclass"
    )
