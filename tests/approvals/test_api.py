"""/v1 of approvals: each endpoint's happy path and each of its errors."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.approvals.models import Approval, Vote
from apps.approvals.services import rules
from apps.common.ids import public_id
from apps.trust.canonical import digest
from tests.approvals.factories import PAYLOAD, approved, ask, ask_too_late
from tests.orgs.conftest import Api, join, problem, token_for


@pytest.fixture
def admins(api_as: Any) -> Api:
    return api_as("admin")


def ref(approval: Any) -> str:
    return public_id("apr", approval.id)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_a_request_says_what_will_happen_and_who_asked(api: Api, owner: Any) -> None:
    approval = ask(by=owner)

    body = api.get(f"/approvals/{ref(approval)}").json()

    times = ("created_at", "expires_at")
    assert all(body.pop(name) for name in times)
    assert body == {
        "id": ref(approval),
        "status": "pending",
        "title": "Send a mail to a new address",
        "subject_type": "test.thing",
        "subject_id": str(approval.subject_id),
        "payload": PAYLOAD,
        "payload_digest": digest(PAYLOAD).hex(),
        "policy_version": 7,
        "manifest_digest": "9f" * 32,
        "agent": None,
        "tool": "",
        "project": None,
        "requester": {"type": "agent", "id": "agt_1", "label": "concierge"},
        "approver": None,
        "reasons": ["new address"],
        "evidence": {},
        "quorum": 1,
        "role": None,
        "votes": [],
        "glass_reason": "",
        "decided_at": None,
        "ended_at": None,
    }


def test_what_would_happen_is_for_who_decides_asked_or_reads_data(
    api: Api, api_as: Any, owner: Any
) -> None:
    path = f"/approvals/{ref(ask(by=owner))}"
    narrow, reader, asker = (
        api_as("member", scopes=["approvals.view"]),
        api_as("member", scopes=["approvals.view", "data.read"]),
        api_as("owner", scopes=["approvals.view"]),
    )
    decider = api_as("admin", scopes=["approvals.view", "approvals.decide"])

    hidden = narrow.get(path).json()
    assert (hidden["payload"], hidden["evidence"]) == (None, None)
    assert hidden["payload_digest"] == digest(PAYLOAD).hex()
    titles = {who.get(path).json()["title"] for who in (reader, asker, decider)}
    assert len(titles) == 1 and hidden["title"] not in titles
    assert hidden["title"] == "Thing"
    for who in (reader, asker, decider):
        assert who.get(path).json()["payload"] == PAYLOAD
    assert narrow.get("/approvals").json()["results"][0]["payload"] is None


def test_two_of_three_approve_by_the_api(api: Api, api_as: Any, owner: Any, events: Any) -> None:
    rules.create_rule(quorum=2, timeout_minutes=60, by=owner, at=timezone.now())
    approval = ask()

    first = api_as("admin").post(f"/approvals/{ref(approval)}/approve", {"comment": "Known."})
    second = api.post(f"/approvals/{ref(approval)}/approve")

    assert (first.status_code, first.json()["status"]) == (200, "pending")
    body = second.json()
    assert (body["status"], body["approver"]["id"]) == (
        "approved",
        public_id("mem", owner.member_id),
    )
    assert [(vote["verdict"], vote["comment"]) for vote in body["votes"]] == [
        ("approve", "Known."),
        ("approve", ""),
    ]
    third = api_as("admin").post(f"/approvals/{ref(approval)}/approve")
    assert problem(third) == (409, "approval_closed")


def test_a_rejection_is_answered_with_its_comment(admins: Api) -> None:
    approval = ask()
    answer = admins.post(f"/approvals/{ref(approval)}/reject", {"comment": "No."})
    body = answer.json()
    assert (answer.status_code, body["status"], body["votes"][0]["comment"]) == (
        200,
        "rejected",
        "No.",
    )


@pytest.mark.parametrize("act", ["approve", "reject", "break-glass"])
def test_who_is_behind_a_request_cannot_decide_it_with_a_key(
    api: Api, owner: Any, act: str
) -> None:
    approval = ask(by=owner)
    body = {"reason": "Fire"} if act == "break-glass" else {}

    assert problem(api.post(f"/approvals/{ref(approval)}/{act}", body)) == (
        409,
        "approval_own_request",
    )
    assert Approval.objects.get(id=approval.id).status == "pending"
    assert not Vote.objects.exists()


def test_each_refusal_has_its_code(api: Api, admins: Api, owner: Any) -> None:
    rules.create_rule(quorum=2, timeout_minutes=60, by=owner, at=timezone.now())
    voted, late, done = ask(), ask_too_late(), ask()
    admins.post(f"/approvals/{ref(voted)}/approve")
    admins.post(f"/approvals/{ref(done)}/reject")
    codes = {
        ref(voted): "approval_already_voted",
        ref(late): "approval_expired",
        ref(done): "approval_closed",
    }
    for name, code in codes.items():
        assert problem(admins.post(f"/approvals/{name}/approve")) == (409, code)
    assert problem(api.post(f"/approvals/{ref(late)}/break-glass", {"reason": "x"})) == (
        409,
        "approval_expired",
    )


def test_broken_glass_needs_a_reason(api: Api) -> None:
    approval = ask()
    for body in ({}, {"reason": " "}):
        answer = api.post(f"/approvals/{ref(approval)}/break-glass", body)
        assert problem(answer) == (422, "invalid")
    answer = api.post(f"/approvals/{ref(approval)}/break-glass", {"reason": "Fire"})
    assert (answer.json()["status"], answer.json()["glass_reason"]) == ("approved", "Fire")


def test_who_asked_takes_it_back(api: Api, admins: Api, owner: Any) -> None:
    approval = ask(by=owner)
    assert problem(admins.post(f"/approvals/{ref(approval)}/cancel")) == (403, "permission_denied")
    assert api.post(f"/approvals/{ref(approval)}/cancel").json()["status"] == "cancelled"
    assert problem(api.post(f"/approvals/{ref(approval)}/cancel")) == (409, "approval_closed")


def test_a_repeated_vote_with_its_key_is_answered_the_same(admins: Api) -> None:
    approval = ask()
    path, key = f"/approvals/{ref(approval)}/approve", {"Idempotency_Key": "once"}

    first, again = (admins.post(path, {}, **key) for _ in range(2))

    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert Vote.objects.count() == 1


def test_the_boxes(api: Api, org: Any, owner: Any) -> None:
    own, others, late, done = ask(by=owner), ask(), ask_too_late(), ask()
    approved_one = approved(by=owner)
    api.post(f"/approvals/{ref(done)}/reject")

    assert ids(api.get("/approvals")) == [
        *(ref(a) for a in (approved_one, done, others, own)),
        ref(late),
    ]
    assert ids(api.get("/approvals?box=waiting")) == [ref(others)]
    assert ids(api.get("/approvals?box=mine")) == [ref(own)]
    assert ids(api.get("/approvals?box=decided")) == [ref(approved_one), ref(done)]
    assert ids(api.get("/approvals?status=rejected")) == [ref(done)]
    assert ids(api.get("/approvals?subject_type=other")) == []
    viewer = Api(token_for(org, join(org, "viewer")))
    assert ids(viewer.get("/approvals?box=waiting")) == []
    page = api.get("/approvals?limit=2").json()
    assert ids(api.get(f"/approvals?limit=2&cursor={page['next']}")) == [ref(others), ref(own)]
    assert problem(api.get("/approvals?box=nowhere")) == (422, "invalid")


def test_a_page_costs_the_same_however_long(
    api: Api, django_assert_max_num_queries: Any, owner: Any
) -> None:
    for _ in range(12):
        approved(by=owner)
    with django_assert_max_num_queries(9):
        assert len(ids(api.get("/approvals"))) == 12


def test_a_rule_from_making_to_removing(api: Api) -> None:
    made = api.post("/approval-rules", {"quorum": 2, "timeout_minutes": 30, "role": "admin"})
    assert made.status_code == 201, made.content
    name = made.json()["id"]
    again = api.post("/approval-rules", {"timeout_minutes": 30})
    assert problem(again) == (409, "approval_rule_exists")
    assert ids(api.get("/approval-rules")) == [name]

    changed = api.patch(f"/approval-rules/{name}", {"quorum": 3, "role": ""})
    assert (changed.json()["quorum"], changed.json()["role"]) == (3, None)
    assert api.get(f"/approval-rules/{name}").json() == changed.json()

    assert api.delete(f"/approval-rules/{name}").status_code == 204
    assert problem(api.get(f"/approval-rules/{name}")) == (404, "not_found")
    assert ids(api.get("/approval-rules")) == []
