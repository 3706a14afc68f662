"""The bodies that the API's description shows."""

from __future__ import annotations

from typing import Any, Final

from apps.common.openapi import example

_ASKED: Final = "2027-01-31T12:00:00Z"
_DECIDED: Final = "2027-01-31T12:04:31Z"
_ADA: Final = {"id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11", "name": "Ada Osei"}
_APPROVAL: Final[dict[str, Any]] = {
    "id": "apr_0190f7c26d1e7b5a9c3e2f4b6a8d0e20",
    "status": "pending",
    "title": "order-desk: refund",
    "subject_type": "run",
    "subject_id": "run_0190f7c26d1e7b5a9c3e2f4b6a8d0e21",
    "payload": {
        "action": "agent.invoke",
        "agent": "order-desk",
        "tool": "refund",
        "input": {"order": "A-1041", "amount": 129.5},
    },
    "payload_digest": "9f2cb71e" * 8,
    "policy_version": 12,
    "manifest_digest": "41d0a6b2" * 8,
    "agent": "order-desk",
    "tool": "refund",
    "project": "support",
    "requester": {
        "type": "api_key",
        "id": "key_0190f7c26d1e7b5a9c3e2f4b6a8d0e13",
        "label": "Nightly import (Sam Ito)",
    },
    "approver": None,
    "reasons": ["Refunds above $100 need a person."],
    "evidence": {"cost_micros": 4200},
    "quorum": 1,
    "role": None,
    "votes": [],
    "glass_reason": "",
    "created_at": _ASKED,
    "expires_at": "2027-02-01T12:00:00Z",
    "decided_at": None,
    "ended_at": None,
}
_RULE: Final[dict[str, Any]] = {
    "id": "apl_0190f7c26d1e7b5a9c3e2f4b6a8d0e22",
    "subject_type": "",
    "agent": "order-desk",
    "tool": "refund",
    "project": None,
    "quorum": 2,
    "role": None,
    "timeout_minutes": 240,
    "created_by": _ADA,
    "created_at": _ASKED,
    "updated_at": _ASKED,
}


def _voted(verdict: str, comment: str) -> dict[str, Any]:
    vote = {"member": _ADA, "verdict": verdict, "comment": comment, "at": _DECIDED}
    return {"approver": _ADA, "votes": [vote], "decided_at": _DECIDED}


APPROVAL: Final = [example("One that waits", _APPROVAL)]
APPROVE: Final = [
    example("With a comment", {"comment": "Known customer."}, request=True),
    example(
        "Approved", {**_APPROVAL, **_voted("approve", "Known customer."), "status": "approved"}
    ),
]
REJECT: Final = [
    example("With a comment", {"comment": "Ask for the receipt first."}, request=True),
    example(
        "Rejected",
        {
            **_APPROVAL,
            **_voted("reject", "Ask for the receipt first."),
            "status": "rejected",
            "ended_at": _DECIDED,
        },
    ),
]
BREAK_GLASS: Final = [
    example("Why", {"reason": "Customers can't pay, and nobody else answers."}, request=True),
    example(
        "Approved alone",
        {
            **_APPROVAL,
            "status": "approved",
            "approver": _ADA,
            "glass_reason": "Customers can't pay, and nobody else answers.",
            "decided_at": _DECIDED,
        },
    ),
]
CANCEL: Final = [
    example(
        "Taken back",
        {**_APPROVAL, "status": "cancelled", "decided_at": _DECIDED, "ended_at": _DECIDED},
    ),
]
RULE_CREATE: Final = [
    example(
        "Two people within four hours",
        {"agent": "order-desk", "tool": "refund", "quorum": 2, "timeout_minutes": 240},
        request=True,
    ),
    example("The rule", _RULE, status=201),
]
RULE_CHANGE: Final = [
    example("Three people", {"quorum": 3}, request=True),
    example("The rule", {**_RULE, "quorum": 3}),
]
