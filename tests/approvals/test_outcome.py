"""What follows from a decision, and from none in time."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.approvals.models import Approval
from apps.approvals.services import outcome
from apps.common.ids import uuid7
from tests.approvals.factories import approved, ask, ask_too_late, consume, in_state


@pytest.fixture
def sent(monkeypatch):
    """The jobs that were asked for: (name, approval's id)."""
    jobs = []

    def note(name, **kwargs):
        jobs.append((name, kwargs["approval_id"]))

    for module in ("outcome", "recording"):
        monkeypatch.setattr(f"apps.approvals.services.{module}.enqueue", note)
    return jobs


@pytest.mark.parametrize("state", ["approved", "rejected", "expired", "cancelled", "consumed"])
def test_a_subject_is_told_what_became_of_its_request_once(org, owner, told, sent, state):
    approval = in_state(state, by=owner)
    assert sent == [("approvals.tell_subject", str(approval.id))]

    assert outcome.tell_subject(approval_id=approval.id, at=timezone.now())
    assert not outcome.tell_subject(approval_id=approval.id, at=timezone.now())

    assert told.decisions == [(approval.subject_id, state)]
    assert Approval.objects.get(id=approval.id).tell_at is None


def test_there_is_nothing_to_tell_of_what_waits(org, told):
    assert not outcome.tell_subject(approval_id=ask().id, at=timezone.now())
    assert not outcome.tell_subject(approval_id=uuid7(), at=timezone.now())
    assert told.decisions == []


def test_what_its_app_failed_to_follow_is_told_again_ever_more_rarely(org, owner, told, sent):
    approval, now = approved(by=owner), timezone.now()
    told.error = ValueError("down")

    with pytest.raises(ValueError, match="down"):
        outcome.tell_subject(approval_id=approval.id, at=now)
    first = Approval.objects.get(id=approval.id).tell_at
    with pytest.raises(ValueError, match="down"):
        outcome.tell_subject(approval_id=approval.id, at=now + timedelta(hours=1))
    second = Approval.objects.get(id=approval.id).tell_at
    told.error = None
    outcome.tell_subject(approval_id=approval.id, at=now + timedelta(hours=2))

    assert first == now + timedelta(minutes=1)
    assert timedelta(hours=1) <= second - (now + timedelta(hours=1)) <= timedelta(minutes=61)
    assert told.decisions == [(approval.subject_id, "approved")]


def test_the_sweeper_finds_whom_a_lost_message_left_untold(org, owner, sent):
    approval = approved(by=owner)
    sent.clear()

    outcome.sweep_approvals(timezone.now())
    assert sent == []
    outcome.sweep_approvals(timezone.now() + timedelta(minutes=1))

    assert sent == [("approvals.tell_subject", str(approval.id))]


def test_what_nobody_decided_in_time_expires(org, owner, told, sent, events):
    late, early = ask_too_late(), ask()
    before = len(events())

    assert outcome.expire_approvals(at=timezone.now()) == 1
    assert outcome.expire_approvals(at=timezone.now()) == 0

    found = Approval.objects.get(id=late.id)
    assert (found.status, found.approver_id) == ("expired", None)
    assert found.decided_at == found.ended_at
    assert Approval.objects.get(id=early.id).status == "pending"
    assert [(action, subject[4:]) for action, subject, _ in events()[before:]] == [
        ("approvals.request.expired", late.id.hex)
    ]


def test_what_nobody_used_in_time_is_told_again_as_expired(org, owner, told, sent, outlive):
    approval = approved(by=owner)
    outcome.tell_subject(approval_id=approval.id, at=timezone.now())
    outlive(approval)

    assert outcome.expire_approvals(at=timezone.now()) == 1
    outcome.tell_subject(approval_id=approval.id, at=timezone.now())

    assert [status for _, status in told.decisions] == ["approved", "expired"]
    assert Approval.objects.get(id=approval.id).approver_id == owner.member_id


def test_what_was_used_does_not_expire(org, owner, outlive):
    approval = approved(by=owner)
    consume(approval.id)
    outlive(approval)

    assert outcome.expire_approvals(at=timezone.now()) == 0


def test_what_moves_while_it_is_told_is_told_again(org, owner, told, sent, monkeypatch):
    approval = approved(by=owner)

    def decide_and_move(found):
        Approval.objects.filter(id=found.id).update(tell_at=timezone.now())

    told.decisions = type("Hook", (), {"append": lambda _, pair: decide_and_move(approval)})()
    outcome.tell_subject(approval_id=approval.id, at=timezone.now())

    assert Approval.objects.get(id=approval.id).tell_at is not None
