"""Who may decide, how many it takes, and what the database thinks of it."""

from dataclasses import replace

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.approvals.errors import AlreadyVoted, ApprovalClosed, ApprovalExpired, OwnRequest
from apps.approvals.models import Approval, ApprovalRule, Vote
from apps.approvals.services import voting
from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.ids import uuid7
from apps.orgs.models import Role
from tests.approvals.factories import ask, ask_too_late, consume, in_state


def approve(approval, voter, comment=""):
    return voting.approve(approval_id=approval.id, voter=voter, comment=comment, at=timezone.now())


def reject(approval, voter, comment=""):
    return voting.reject(approval_id=approval.id, voter=voter, comment=comment, at=timezone.now())


def break_glass(approval, by, reason="Customers can't pay"):
    return voting.break_glass(approval_id=approval.id, by=by, reason=reason, at=timezone.now())


def rule(owner, **fields):
    now = timezone.now()
    values = {"created_at": now, "updated_at": now, "timeout_minutes": 60, **fields}
    return ApprovalRule.objects.create(created_by_id=owner.member_id, **values)


def stored(approval):
    return Approval.objects.get(id=approval.id)


def test_one_vote_approves_where_nothing_else_is_said(org, owner, admin, events):
    approval = ask(by=owner)
    before = len(events())

    approve(approval, admin, "Known customer.")

    found = stored(approval)
    assert (found.status, found.approver_id) == ("approved", admin.member_id)
    assert found.decided_at == found.tell_at
    ((action, _, detail),) = events()[before:]
    assert action == "approvals.request.approved"
    assert (detail["comment"], detail["votes"]) == ("Known customer.", {"given": 1, "needed": 1})


def test_two_of_three_approve(org, owner, somebody, events):
    rule(owner, quorum=2)
    first, second, third = (somebody("admin") for _ in range(3))
    approval = ask(by=owner)
    before = len(events())

    approve(approval, first)
    assert stored(approval).status == "pending"
    approve(approval, second)
    assert (stored(approval).status, stored(approval).approver_id) == (
        "approved",
        second.member_id,
    )

    with pytest.raises(ApprovalClosed):
        approve(approval, third)
    assert Vote.objects.filter(approval=approval).count() == 2
    assert [action for action, _, _ in events()[before:]] == [
        "approvals.vote.cast",
        "approvals.request.approved",
    ]


def test_nobody_votes_twice(org, owner, admin):
    rule(owner, quorum=2)
    approval = ask(by=owner)
    approve(approval, admin)

    for vote in (approve, reject):
        with pytest.raises(AlreadyVoted):
            vote(approval, admin)

    assert stored(approval).status == "pending"
    assert Vote.objects.filter(approval=approval).count() == 1


def test_one_rejection_rejects_whatever_others_said(org, owner, somebody):
    rule(owner, quorum=3)
    approval, against = ask(by=owner), somebody("admin")
    approve(approval, somebody("admin"))

    reject(approval, against, "Not on a Friday.")

    found = stored(approval)
    assert (found.status, found.approver_id) == ("rejected", against.member_id)
    assert Vote.objects.get(approval=approval, member_id=against.member_id).comment == (
        "Not on a Friday."
    )


@pytest.mark.parametrize("act", [approve, reject, break_glass])
def test_who_is_behind_a_request_does_not_decide_it(org, owner, admin, events, act):
    approval = ask(by=owner)
    before = len(events())

    with pytest.raises(OwnRequest) as refusal:
        act(approval, owner)

    assert (refusal.value.code, refusal.value.status) == ("approval_own_request", 409)
    assert stored(approval).status == "pending"
    assert not Vote.objects.filter(approval=approval).exists()
    assert len(events()) == before
    act(approval, admin)
    assert stored(approval).status != "pending"


@pytest.mark.parametrize("act", [approve, reject, break_glass])
def test_an_agent_decides_nothing(org, owner, admin, act):
    approval = ask(by=owner)

    with pytest.raises(PermissionDenied):
        act(approval, replace(admin, agent_id=uuid7()))

    assert stored(approval).status == "pending"


def test_a_rules_role_decides_and_no_other(org, owner, admin, somebody):
    rule(owner, role=Role.objects.get(slug="owner"))
    approval, another = ask(), somebody("owner")

    with pytest.raises(PermissionDenied) as refusal:
        approve(approval, admin)
    assert stored(approval).status == "pending"
    people = [owner.member_label, another.member_label]
    assert refusal.value.extra == {"granted_by_roles": ["owner"], "ask": people}
    assert refusal.value.detail == (
        f"Only members with the role Owner decide this. {people[0]} or {people[1]} can."
    )
    with pytest.raises(PermissionDenied) as refusal:
        approve(approval, admin.without(frozenset({"members.view"})))
    assert "ask" not in refusal.value.extra and people[0] not in refusal.value.detail

    approve(approval, another)
    assert stored(approval).status == "approved"


@pytest.mark.parametrize("act", [approve, reject, break_glass])
def test_what_is_out_of_time_is_not_decided_though_no_sweeper_came(org, owner, act):
    approval = ask_too_late()

    with pytest.raises(ApprovalExpired):
        act(approval, owner)

    assert stored(approval).status == "pending"
    assert not Vote.objects.exists()


def test_what_nobody_asked_cannot_be_decided(org, owner):
    with pytest.raises(NotFound):
        voting.approve(approval_id=uuid7(), voter=owner, comment="", at=timezone.now())


def test_broken_glass_approves_alone_and_says_why(org, owner, admin, events):
    rule(owner, quorum=3, role=Role.objects.get(slug="admin"))
    approval = ask(by=admin)
    before = len(events())

    break_glass(approval, owner)

    found = stored(approval)
    assert (found.status, found.approver_id) == ("approved", owner.member_id)
    assert found.glass_reason == "Customers can't pay"
    assert not Vote.objects.filter(approval=approval).exists()
    ((action, _, detail),) = events()[before:]
    assert (action, detail["reason"]) == ("approvals.glass.broken", "Customers can't pay")
    consume(approval.id)


def test_glass_is_not_broken_without_a_reason(org, owner):
    approval = ask()

    with pytest.raises(Invalid):
        break_glass(approval, owner, "  ")

    assert stored(approval).status == "pending"


def test_the_database_takes_no_vote_of_who_is_barred(org, owner, admin):
    approval = ask(by=owner)
    values = {"approval": approval, "verdict": "approve", "at": timezone.now()}

    def vote(member, barred):
        with transaction.atomic():
            Vote.objects.create(member_id=member.member_id, barred=barred, **values)
            constrain()

    with pytest.raises(IntegrityError, match="approval_vote_of_another"):
        vote(owner, approval.barred)
    for lie in ([], [admin.member_id]):
        with pytest.raises(IntegrityError, match="approval_vote_barred"):
            vote(owner, lie)
    assert not Vote.objects.exists()
    vote(admin, approval.barred)


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_the_database_takes_no_approver_who_is_barred(org, owner, admin, status):
    approval = ask(by=owner)
    statement = (
        "update approvals set status = %s, approver_id = %s, decided_at = now(), "
        "ended_at = case when %s = 'rejected' then now() end, glass_reason = 'x' where id = %s"
    )

    with pytest.raises(IntegrityError, match="approval_of_another"), transaction.atomic():
        write(statement, status, owner.member_id, status, approval.id)
    assert stored(approval).status == "pending"

    write(statement, status, admin.member_id, status, approval.id)
    assert stored(approval).status == status


def test_the_database_approves_nothing_with_too_few_votes(org, owner, admin, somebody):
    rule(owner, quorum=2)
    approval = ask(by=owner)
    approve(approval, admin)
    statement = (
        "update approvals set status = 'approved', approver_id = %s, decided_at = now() "
        "where id = %s"
    )

    with pytest.raises(IntegrityError, match="not enough"), transaction.atomic():
        write(statement, admin.member_id, approval.id)

    approve(approval, somebody("admin"))
    assert stored(approval).status == "approved"


def test_the_database_approves_nothing_out_of_time(org, owner, admin):
    approval = ask_too_late()
    statement = (
        "update approvals set status = 'approved', approver_id = %s, decided_at = now(), "
        "glass_reason = 'x' where id = %s"
    )
    with pytest.raises(IntegrityError, match="has expired"), transaction.atomic():
        write(statement, admin.member_id, approval.id)


def test_a_request_begins_undecided(org, owner):
    approval = in_state("approved", by=owner)
    approval.pk = approval.id = uuid7()
    with pytest.raises(IntegrityError, match="begins pending"), transaction.atomic():
        approval.save(force_insert=True)


@pytest.mark.parametrize("change", ["update approval_votes set comment = ''", "delete from {}"])
def test_a_vote_stays_as_it_was_cast(org, owner, change):
    in_state("approved", by=owner)

    with pytest.raises(Exception, match="permission denied"), transaction.atomic():
        write(change.format("approval_votes"))

    assert Vote.objects.count() == 1


def write(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def constrain():
    """Ask the deferred foreign keys now."""
    connection.check_constraints()
