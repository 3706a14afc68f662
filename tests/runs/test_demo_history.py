"""The demo org's history: really done, on record as of then, completed if it was cut short."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from apps.agents.models import Agent
from apps.agents.services.agents import retire_agent
from apps.runs import demo, demo_history
from apps.runs.models import Run, RunLog, Step
from tests.orgs.conftest import AT

FEW = 14


@pytest.fixture
def agents(org: Any, owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo agents, with nothing done yet, and a history of two short days."""
    monkeypatch.setattr(demo, "ASKS", ())
    monkeypatch.setattr(demo_history, "DAYS", 2)
    monkeypatch.setattr(demo_history, "A_DAY", FEW)
    demo.seed_agents(org, owner, AT)


def test_the_plan_is_of_the_days_before_and_always_the_same() -> None:
    planned = demo_history.plan_history(AT)
    agos = [each.ago for each in planned]
    assert agos == sorted(agos, reverse=True)
    assert timedelta() < agos[-1] < agos[0] <= timedelta(days=demo_history.DAYS)
    assert planned == demo_history.plan_history(AT)
    assert len({each.ask.session_id for each in planned}) == len(planned) > 150
    asked = Counter(each.ask.agent for each in planned)
    assert set(asked) == {"echo", "calculator", "summarizer", "concierge"}


def test_history_was_done_by_the_agents_and_is_dated_back(
    agents: None, org: Any, owner: Any
) -> None:
    # When the history is made
    demo_history.seed_history(org, owner, AT)

    # Then each planned run is there at its time, with what its agent really answered
    planned = {each.ask.session_id: each for each in demo_history.plan_history(AT)}
    roots: list[Any] = list(Run.objects.filter(parent=None).order_by("created_at"))
    assert [run.session_id for run in roots] == list(planned)
    for run in roots:
        late = run.created_at - (AT - planned[run.session_id].ago)
        assert timedelta() <= late < timedelta(minutes=1)
        assert run.input == planned[run.session_id].ask.input
        assert run.output or run.status == "failed"
    # And all that was recorded below them is of that time too
    everything: list[Any] = [*Run.objects.all()]
    for run in everything:
        assert run.created_at <= run.started_at <= run.finished_at < AT
    steps: list[Any] = [*Step.objects.select_related("run")]
    for step in steps:
        assert step.run.started_at <= step.started_at <= step.finished_at <= step.run.finished_at
    lines: list[Any] = [*RunLog.objects.select_related("run")]
    for line in lines:
        assert line.run.started_at <= line.at <= line.run.finished_at
    assert len(everything) > len(roots)
    assert steps
    assert lines


def test_a_history_that_was_cut_short_is_completed_and_none_is_repeated(
    agents: None, org: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, really = len(demo_history.plan_history(AT)), getattr(demo_history, "invoke")  # noqa: B009
    left = [5]

    def dying(*args: Any, **kwargs: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return really(*args, **kwargs)

    monkeypatch.setattr(demo_history, "invoke", dying)
    with pytest.raises(KeyboardInterrupt):
        demo_history.seed_history(org, owner, AT)
    assert Run.objects.filter(parent=None).count() == 5
    left[0] = whole
    demo_history.seed_history(org, owner, AT + timedelta(hours=1))
    assert (Run.objects.filter(parent=None).count(), left[0]) == (whole, 5)
    demo_history.seed_history(org, owner, AT + timedelta(days=1))
    assert Run.objects.filter(parent=None).count() == whole


def test_an_agent_that_was_retired_does_nothing_any_more(
    agents: None, org: Any, owner: Any
) -> None:
    retire_agent(agent_id=Agent.objects.get(slug="echo").id, actor=owner.actor, at=AT)
    demo_history.seed_history(org, owner, AT)
    asked = set(Run.objects.filter(parent=None).values_list("agent__slug", flat=True))
    assert asked == {"calculator", "summarizer", "concierge"}


def test_another_org_has_no_history(agents: None, org: Any, owner: Any) -> None:
    demo_history.seed_history(replace(org, slug="globex"), owner, AT)
    assert not Run.objects.exists()
