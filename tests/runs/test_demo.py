"""The demo org's agents: made once, completed if that was cut short, left as people leave them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from apps.agents.models import Agent, Grant
from apps.agents.services.agents import kill_agent, retire_agent
from apps.agents.services.grants import revoke_grant
from apps.runs import demo
from apps.runs.models import Run
from tests.orgs.conftest import AT

STEPS = ("create_agent", "create_grant", "invoke")
COMPLETE = (4, 2, 5)
"""Agents, grants, and runs that nobody's run asked for."""


class CutShort(Exception):
    """The process died."""


@pytest.fixture
def seed(org: Any, owner: Any) -> Callable[[], None]:
    return lambda: demo.seed_agents(org, owner, AT)


def made() -> tuple[int, int, int]:
    runs = Run.objects.filter(parent=None)
    return Agent.objects.count(), Grant.objects.count(), runs.count()


def test_the_demo_agents_do_real_work_once(seed: Callable[[], None]) -> None:
    seed()
    assert made() == COMPLETE
    asked = {run.agent.slug: run for run in Run.objects.filter(parent=None).order_by("created_at")}
    assert asked["concierge"].output["used"] == ["calculator", "summarizer"]
    children = Run.objects.filter(parent=asked["concierge"])
    assert sorted(child.agent.slug for child in children) == ["calculator", "summarizer"]

    seed()
    assert (made(), Run.objects.count()) == (COMPLETE, 7)


def test_a_seeding_that_is_cut_short_is_completed(
    seed: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it makes one thing and dies before the next."""
    left = [0]

    def dying(really: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if not left[0]:
                raise CutShort
            left[0] -= 1
            return really(*args, **kwargs)

        return step

    for name in STEPS:
        monkeypatch.setattr(demo, name, dying(getattr(demo, name)))
    for done in range(sum(COMPLETE)):
        assert sum(made()) == done
        left[0] = 1
        if done < sum(COMPLETE) - 1:
            with pytest.raises(CutShort):
                seed()
        else:
            seed()
    assert (made(), Run.objects.count()) == (COMPLETE, 7)


def test_what_people_took_away_does_not_come_back(seed: Callable[[], None], owner: Any) -> None:
    seed()
    said: dict[str, Any] = {"actor": owner.actor, "at": AT}
    retire_agent(agent_id=Agent.objects.get(slug="echo").id, **said)
    kill_agent(agent_id=Agent.objects.get(slug="summarizer").id, **said)
    revoke_grant(grant_id=Grant.objects.get(callee__slug="calculator").id, **said)
    seed()
    assert (made(), Grant.objects.filter(active=True).count()) == (COMPLETE, 1)


def test_an_org_that_is_no_demo_gets_nothing(org: Any, owner: Any) -> None:
    demo.seed_agents(replace(org, slug="initech"), owner, AT)
    assert made() == (0, 0, 0)
