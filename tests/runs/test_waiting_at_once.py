"""Many who would use one approval at the same moment, committed for real: one of them does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.agents.models import Agent
from apps.approvals.errors import ApprovalRefused
from apps.approvals.models import Approval
from apps.approvals.services import recording, requests, voting
from apps.runs import spine
from apps.runs.models import Run
from apps.runs.services import resuming
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.tenants import keys
from tests.orgs.conftest import join, owner_of
from tests.runs.factories import make_agent
from tests.runs.governing import in_force
from tests.runs.test_at_once import at_once

CROWD = 50


@pytest.fixture
def place(throwaway_org: Callable[[], Any]) -> Iterator[Any]:
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        yield org


@pytest.fixture
def effects(scripts: Any) -> list[int]:
    done: list[int] = []
    scripts["echo"] = lambda invocation, ctx: done.append(1) or {}
    return done


@pytest.fixture
def approved(place: Any, effects: list[int], monkeypatch: pytest.MonkeyPatch) -> Approval:
    """What a person has agreed to, of which no job has told the run yet."""
    monkeypatch.setattr(recording, "enqueue", lambda *job, **of: None)
    monkeypatch.setattr(resuming, "enqueue", lambda *job, **of: None)
    echo: Agent = make_agent("echo")
    in_force('require_approval contains "Ask." if true\n')
    ask = Ask(agent="echo", input={"text": "hello"})
    assert invoke(ask, caller=owner_of(place), at=timezone.now()).run.agent_id == echo.id
    boss = join(place, "admin")
    (approval,) = Approval.objects.all()
    return voting.approve(approval_id=approval.id, voter=boss, comment="", at=timezone.now())


def test_fifty_jobs_of_one_approval_are_one_execution(
    place: Any, approved: Approval, effects: list[int]
) -> None:
    at_once(place, CROWD, lambda n: resuming.on_decided(approved))

    assert Run.objects.get().status == "queued"
    assert at_once(place, 4, lambda n: work_one(at=timezone.now())).count(True) == 1
    assert (Run.objects.get().status, effects) == ("succeeded", [1])
    assert Approval.objects.get().status == "consumed"
    at_once(place, 4, lambda n: resuming.on_decided(approved))
    assert not work_one(at=timezone.now()) and effects == [1]


def test_fifty_who_use_one_approval_at_once_are_one(place: Any, approved: Approval) -> None:
    def use(number: int) -> str:
        try:
            with transaction.atomic():
                requests.consume(
                    approval_id=approved.id,
                    payload_digest=bytes(approved.payload_digest),
                    policy_version=approved.policy_version,
                    manifest_digest=approved.manifest_digest,
                    at=timezone.now(),
                )
        except ApprovalRefused as refused:
            return refused.code
        return "used"

    said = at_once(place, CROWD, use)
    assert sorted(said) == ["approval_used"] * (CROWD - 1) + ["used"]
    # The run, told afterwards, finds that its approval was used by somebody else.
    approved.refresh_from_db()
    resuming.on_decided(Approval(id=approved.id, subject_id=approved.subject_id, status="approved"))
    assert (Run.objects.get().status, Run.objects.get().reason) == ("denied", "approval_used")


def test_a_cancellation_and_an_approval_at_once_leave_one_story(
    place: Any, approved: Approval, effects: list[int]
) -> None:
    run_id = approved.subject_id

    def act(number: int) -> None:
        if number % 2:
            resuming.on_decided(approved)
        else:
            with transaction.atomic():
                spine.stop_runs([run_id], status="cancelled", reason="x", at=timezone.now())  # type: ignore[arg-type]

    at_once(place, 8, act)
    work_one(at=timezone.now())
    run = Run.objects.get()
    assert (run.status, effects) in (("cancelled", []), ("succeeded", [1]))
