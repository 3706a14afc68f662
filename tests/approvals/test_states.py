"""The machine of a request: every state × every arrow, in Python, by services and in Postgres."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_fsm import TransitionNotAllowed

from apps.approvals.errors import ApprovalRefused
from apps.approvals.models import Approval, ApprovalStatus
from apps.approvals.services import outcome, requests, voting
from apps.common.fsm import transition_table
from tests.approvals.factories import KIND, consume, in_state

ARROWS = {
    ("pending", "approve"): "approved",
    ("pending", "reject"): "rejected",
    ("pending", "expire"): "expired",
    ("pending", "cancel"): "cancelled",
    ("approved", "consume"): "consumed",
    ("approved", "expire"): "expired",
    ("approved", "cancel"): "cancelled",
}
VERBS = ("approve", "reject", "expire", "cancel", "consume")
TABLE = {(s, verb): ARROWS.get((s, verb)) for s in ApprovalStatus.values for verb in VERBS}


def test_the_machine_has_these_arrows_and_no_others():
    assert transition_table(Approval) == TABLE


@pytest.mark.parametrize(("state", "verb"), TABLE)
def test_each_service_does_in_each_state_what_the_table_says(org, owner, admin, state, verb):
    approval, now = in_state(state, by=owner), timezone.now()
    vote = {"approval_id": approval.id, "voter": admin, "comment": "", "at": now}
    subject = {"subject_type": KIND, "subject_ids": [approval.subject_id], "at": now}
    does = {
        "approve": lambda: voting.approve(**vote),
        "reject": lambda: voting.reject(**vote),
        "expire": lambda: outcome.expire_approvals(at=now),
        "cancel": lambda: requests.cancel_for(**subject),
        "consume": lambda: consume(approval.id),
    }[verb]
    wanted = TABLE[state, verb]
    if verb == "expire":
        wanted = None  # nothing here is out of time; test_outcome has what is

    if wanted or verb in {"expire", "cancel"}:
        does()  # what goes over all there is finds nothing to do
    else:
        with pytest.raises(ApprovalRefused):
            does()

    assert Approval.objects.get(id=approval.id).status == (wanted or state)


@pytest.mark.parametrize("state", ApprovalStatus.values)
def test_the_models_verbs_refuse_what_the_table_refuses(org, owner, state):
    arguments = {"approve": {"by_id": None}, "reject": {"by_id": None}}
    approval = in_state(state, by=owner)
    for verb in VERBS:
        if TABLE[state, verb] is None:
            with pytest.raises(TransitionNotAllowed):
                getattr(approval, verb)(at=timezone.now(), **arguments.get(verb, {}))


@pytest.mark.parametrize("state", ApprovalStatus.values)
def test_postgres_moves_no_row_against_the_table(org, owner, state):
    approval = in_state(state, by=owner)
    reached = {to for (at, _), to in ARROWS.items() if at == state}
    for other in set(ApprovalStatus.values) - reached - {state}:
        with pytest.raises(IntegrityError, match="cannot move"), transaction.atomic():
            move(approval.id, other)
    assert Approval.objects.get(id=approval.id).status == state


def move(approval_id, status):
    with connection.cursor() as cursor:
        cursor.execute(
            "update approvals set status = %s, decided_at = now() where id = %s",
            [status, approval_id],
        )
