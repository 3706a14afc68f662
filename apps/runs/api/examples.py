"""The bodies that the API's description shows."""

from __future__ import annotations

from typing import Any, Final

from apps.common.errors import Invalid, PermissionDenied
from apps.common.ids import parse_id
from apps.common.openapi import example, problems
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.runs.errors import DECISION, RunDenied, RunRateLimited
from apps.runs.errors import RUN as RUN_PREFIX

_RUN_ID: Final = "run_0190f7c26d1e7b5a9c3e2f4b6a8d0e21"
_DECISION_ID: Final = "dec_0190f7c26d1e7b5a9c3e2f4b6a8d0e22"
_AT: Final = "2027-01-31T12:00:00Z"

_RUN: Final[dict[str, Any]] = {
    "id": _RUN_ID,
    "title": "hello",
    "agent": "echo",
    "tool": "echo",
    "project": "support",
    "caller": {
        "type": "api_key",
        "id": "key_0190f7c26d1e7b5a9c3e2f4b6a8d0e13",
        "label": "Nightly export (Ada Osei)",
    },
    "status": "succeeded",
    "reason": None,
    "mode": "sync",
    "environment": "live",
    "session_id": "ticket-4711",
    "input": {"text": "hello"},
    "output": {"text": "hello"},
    "error": None,
    "cost_micros": 0,
    "usage": None,
    "parent": None,
    "root": _RUN_ID,
    "children": [],
    "manifest": {"version": 3, "digest": "9f2cb71e" * 8},
    "decision_id": _DECISION_ID,
    "approval_id": None,
    "attempt": 1,
    "created_at": _AT,
    "started_at": _AT,
    "finished_at": _AT,
    "duration_ms": 1.42,
}

INVOKE: Final = [
    example(
        "An invocation", {"input": {"text": "hello"}, "session_id": "ticket-4711"}, request=True
    ),
    example("A run that succeeded", _RUN),
    example(
        "A run that waits for a person",
        {
            **_RUN,
            "status": "awaiting_approval",
            "output": None,
            "approval_id": "apr_0190f7c26d1e7b5a9c3e2f4b6a8d0e23",
            "attempt": 0,
            "started_at": None,
            "finished_at": None,
            "duration_ms": None,
        },
        status=202,
    ),
]
REFUSALS: Final = problems(
    "/v1/agents/echo/invoke",
    RunDenied(
        reason="policy",
        run_id=parse_id(RUN_PREFIX, _RUN_ID),
        decision_id=parse_id(DECISION, _DECISION_ID),
        reasons=["Members may not use what is sensitive."],
    ),
    RunRateLimited(
        run_id=parse_id(RUN_PREFIX, _RUN_ID),
        decision_id=parse_id(DECISION, _DECISION_ID),
        retry_after=12,
    ),
    PermissionDenied("This needs the permission agents.invoke.", permission="agents.invoke"),
    IdempotencyInFlight("Its run is still at work. Repeat the request in a moment.", run=_RUN_ID),
    Invalid(
        "The input is not what the tool takes.",
        errors=[{"field": "input.text", "message": "This field is required."}],
    ),
    IdempotencyKeyReused("Use a new key for a new request."),
)
RUN: Final = [example("A run that succeeded", _RUN)]
CANCELLED: Final = [
    example(
        "A run that was cancelled",
        {**_RUN, "status": "cancelled", "reason": "by_hand", "output": None},
    )
]
EVENTS: Final = [
    example(
        "The last events of a run",
        f'id: 3\nevent: delta\ndata: {{"run":"{_RUN_ID}","at":"{_AT}","attempt":1,'
        '"text":"Hel"}\n\n'
        f'id: 4\nevent: status\ndata: {{"run":"{_RUN_ID}","at":"{_AT}","attempt":1,'
        '"status":"succeeded","reason":null}\n\n'
        "event: end\ndata: {…the run object…}\n\n",
    )
]
