"""Asking, using and taking back."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.approvals.errors import (
    ApprovalClosed,
    ApprovalExpired,
    ApprovalMisuse,
    ApprovalUsed,
    ManifestChanged,
    NotApproved,
    PayloadChanged,
    PolicyChanged,
)
from apps.approvals.models import Approval
from apps.approvals.services import requests
from apps.common.errors import NotFound, PermissionDenied
from apps.common.ids import public_id, uuid7
from apps.tenants.models import OrgActivity
from apps.trust.canonical import digest
from tests.approvals.factories import (
    AGENT,
    BINDING,
    KIND,
    PAYLOAD,
    approved,
    ask,
    ask_too_late,
    consume,
    in_state,
)


def test_a_request_binds_what_was_asked_and_bars_who_is_behind_it(org, owner, admin, events):
    approval = ask(by=owner, also_barred=[admin.member_id, owner.member_id])

    stored = Approval.objects.get(id=approval.id)
    assert stored.payload == PAYLOAD
    assert bytes(stored.payload_digest) == digest(PAYLOAD)
    assert (stored.policy_version, stored.manifest_digest) == (7, "9f" * 32)
    assert stored.barred == sorted([owner.member_id, admin.member_id], key=str)
    assert (stored.requester_type, stored.requester_label) == ("agent", "concierge")
    assert (stored.quorum, stored.role, stored.rule) == (1, None, None)
    assert stored.expires_at - stored.created_at == timedelta(hours=24)
    ((action, subject, detail),) = events()
    assert (action, subject) == ("approvals.request.made", public_id("apr", approval.id))
    assert detail["payload_digest"] == digest(PAYLOAD).hex()


def test_the_sweeper_comes_when_a_request_is_over_even_if_the_org_stays_quiet(org):
    approval = ask(expires_at=timezone.now() + timedelta(minutes=3))

    assert OrgActivity.objects.get(org_id=org.id).next_due_at <= approval.expires_at


def test_only_registered_kinds_can_be_asked_for(org):
    with pytest.raises(ApprovalMisuse):
        ask(subject_type="unheard.of")
    assert not Approval.objects.exists()


def test_an_approval_is_used_once(org, owner, events):
    approval = approved(by=owner)
    before = len(events())

    consume(approval.id)

    assert Approval.objects.get(id=approval.id).status == "consumed"
    assert [action for action, _, _ in events()[before:]] == ["approvals.request.used"]
    with pytest.raises(ApprovalUsed) as refusal:
        consume(approval.id)
    assert (refusal.value.code, refusal.value.status) == ("approval_used", 409)
    assert len(events()) == before + 1


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"payload_digest": digest({**PAYLOAD, "tool": "senD"})}, PayloadChanged),
        ({"payload_digest": bytes(32)}, PayloadChanged),
        ({"policy_version": 8}, PolicyChanged),
        ({"policy_version": None}, PolicyChanged),
        ({"manifest_digest": "9e" + "9f" * 31}, ManifestChanged),
        ({"manifest_digest": None}, ManifestChanged),
    ],
)
def test_what_was_approved_and_nothing_else_may_happen(org, owner, changed, error):
    approval = approved(by=owner)

    with pytest.raises(error):
        consume(approval.id, **changed)

    assert Approval.objects.get(id=approval.id).status == "approved"
    consume(approval.id)


def test_an_approval_without_policy_and_manifest_is_used_without_them(org, owner):
    nothing = {"policy_version": None, "manifest_digest": None}
    approval = approved(by=owner, **nothing)

    with pytest.raises(PolicyChanged):
        consume(approval.id)
    consume(approval.id, **nothing)

    assert Approval.objects.get(id=approval.id).status == "consumed"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("pending", NotApproved),
        ("rejected", NotApproved),
        ("cancelled", NotApproved),
        ("expired", ApprovalExpired),
        ("consumed", ApprovalUsed),
    ],
)
def test_what_is_not_approved_is_not_used(org, owner, events, state, error):
    approval = in_state(state, by=owner)
    before = len(events())

    with pytest.raises(error):
        consume(approval.id)

    assert Approval.objects.get(id=approval.id).status == state
    assert len(events()) == before


def test_an_approval_that_is_not_used_in_time_is_worth_nothing(org, owner, outlive):
    approval = approved(by=owner)
    outlive(approval)

    with pytest.raises(ApprovalExpired):
        consume(approval.id)

    assert Approval.objects.get(id=approval.id).status == "approved"


def test_an_approval_that_is_not_there_is_not_found(org, owner):
    with pytest.raises(NotFound):
        consume(uuid7())


def test_what_ends_takes_its_open_requests_back(org, owner, events):
    subject = uuid7()
    open_ones = [ask(subject_id=subject), approved(by=owner, subject_id=subject)]
    other = ask()
    before = len(events())

    with transaction.atomic():
        found = requests.cancel_for(subject_type=KIND, subject_ids=[subject], at=timezone.now())

    assert found == 2
    states = Approval.objects.filter(subject_id=subject).values_list("status", flat=True)
    assert list(states) == ["cancelled", "cancelled"]
    assert Approval.objects.get(id=other.id).status == "pending"
    assert [action for action, _, _ in events()[before:]] == ["approvals.request.cancelled"] * 2
    with pytest.raises(NotApproved):
        consume(open_ones[1].id)


def test_who_asked_takes_it_back_and_nobody_else(org, owner, admin):
    approval = ask(by=admin)

    with pytest.raises(PermissionDenied):
        requests.cancel_request(approval_id=approval.id, by=owner, at=timezone.now())
    assert Approval.objects.get(id=approval.id).status == "pending"

    requests.cancel_request(approval_id=approval.id, by=admin, at=timezone.now())
    assert Approval.objects.get(id=approval.id).status == "cancelled"
    with pytest.raises(ApprovalClosed):
        requests.cancel_request(approval_id=approval.id, by=admin, at=timezone.now())


@pytest.mark.parametrize(
    "change",
    [
        "payload = '{}'",
        "payload_digest = '\\x00'",
        "policy_version = 8",
        "manifest_digest = ''",
        "expires_at = expires_at + interval '1 hour'",
        "quorum = 2",
        "barred = '{}', human_id = null",
        "title = 'Nothing much'",
    ],
)
def test_what_was_asked_for_cannot_be_changed(org, owner, change):
    approval = ask(by=owner)

    with pytest.raises(IntegrityError, match="cannot be changed"), transaction.atomic():
        write(f"update approvals set {change} where id = %s", approval.id)

    assert Approval.objects.get(id=approval.id).payload == PAYLOAD


def test_the_binding_of_a_request_made_too_late_holds_too(org, owner):
    approval = ask_too_late(by=owner, requester=AGENT)
    assert (approval.policy_version, approval.manifest_digest) == tuple(BINDING.values())


def write(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
