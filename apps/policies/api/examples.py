"""The bodies that the API's description shows."""

from __future__ import annotations

from typing import Any, Final

from apps.common.errors import PreconditionFailed
from apps.common.openapi import example
from apps.policies.engine.samples import INVOKE
from apps.policies.engine.types import Flaw
from apps.policies.errors import RegoInvalid

_AT: Final = "2027-01-31T12:00:00Z"
_DIGEST: Final = "9f2cb71e" * 8
_POLICY_ID: Final = "pol_0190f7c26d1e7b5a9c3e2f4b6a8d0e31"
_RUN_ID: Final = "run_0190f7c26d1e7b5a9c3e2f4b6a8d0e21"
_REASON: Final = "Viewers don't invoke agents of a project with customer data."
_REGO: Final = f"""package mandate

default allow := true

deny contains "{_REASON}" if {{
\tinput.subject.role == "viewer"
\t"customer-data" in input.resource.project.tags
}}
"""
_ATTACHMENT: Final = {
    "id": "pla_0190f7c26d1e7b5a9c3e2f4b6a8d0e32",
    "scope": "project",
    "name": "support",
    "created_at": _AT,
}
_ROW: Final[dict[str, Any]] = {
    "id": _POLICY_ID,
    "name": "Customer data",
    "purpose": "Keeps viewers from customers' data.",
    "version": 1,
    "status": "draft",
    "active_version": None,
    "attachments": [_ATTACHMENT],
    "shadow_since": None,
    "created_at": _AT,
    "updated_at": _AT,
    "retired_at": None,
}
_POLICY: Final[dict[str, Any]] = {
    **_ROW,
    "rego_text": _REGO,
    "tests": "",
    "digest": _DIGEST,
    "created_by": {"id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11", "name": "Ada Osei"},
}
_SAID: Final = {
    "id": "plv_0190f7c26d1e7b5a9c3e2f4b6a8d0e33",
    "policy": _POLICY_ID,
    "name": "Customer data",
    "version": 1,
    "result": "deny",
    "reasons": [_REASON],
}
_DECISION: Final[dict[str, Any]] = {
    "id": "dec_0190f7c26d1e7b5a9c3e2f4b6a8d0e34",
    "result": "deny",
    "reasons": [_REASON],
    "policies": [_SAID],
    "run": _RUN_ID,
    "at": _AT,
    "action": "agent.invoke",
    "agent": "summarizer",
    "tool": "summarizer",
    "ordinal": None,
    "caller": {
        "type": "user",
        "id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11",
        "label": "Ada Osei",
    },
    "obligations": {},
    "shadows": None,
    "bundle": 7,
    "micros": 184,
    "input_digest": _DIGEST,
}
_SETTINGS: Final[dict[str, Any]] = {
    "bundle": 7,
    "default_answer": "allow",
    "keep_inputs_days": 30,
    "two_person": False,
}
_OUTCOME: Final = {"name": "test_viewer_is_denied", "passed": True, "message": ""}

FLAWED: Final = RegoInvalid.of_flaws("rego_text", [Flaw(5, 9, "undefined variable: role")])
OVERTAKEN: Final = PreconditionFailed("Version 4 was written meanwhile. Read it.")
POLICY: Final = [example("A policy", _POLICY)]
POLICIES: Final = [example("A page", {"results": [_ROW], "next": None})]
_VERSION: Final = {
    "version": 1,
    "name": "Customer data",
    "purpose": "Keeps viewers from customers' data.",
    "status": "active",
    "rego_text": _REGO,
    "tests": "",
    "digest": _DIGEST,
    "created_at": _AT,
    "created_by": {"id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11", "name": "Ada Osei"},
    "activated_at": _AT,
    "activated_by": None,
    "retired_at": None,
}
VERSIONS: Final = [example("A page", {"results": [_VERSION], "next": None})]
POLICY_CREATE: Final = [
    example(
        "Deny by role and project tag",
        {
            "name": "Customer data",
            "rego_text": _REGO,
            "attach": {"scope": "project", "id": "support"},
        },
        request=True,
    ),
    example("The policy, a draft", _POLICY, status=201),
]
POLICY_REVISE: Final = [
    example("Another text", {"rego_text": _REGO}, request=True),
    example("The policy", {**_POLICY, "version": 2, "active_version": 1}),
]
TESTS: Final = [example("All pass", {"status": "tested", "tests": [_OUTCOME]})]
_ACTIVE: Final = {**_POLICY, "status": "active", "active_version": 1}
_APPROVAL_ID: Final = "apr_0190f7c26d1e7b5a9c3e2f4b6a8d0e35"
_WAITS: Final = "It waits for a second person"
_UNCHANGED: Final = example(_WAITS, {**_ACTIVE, "approval_id": _APPROVAL_ID}, status=202)
ACTIVATED: Final = [
    example("The version that was read", {"version": 1}, request=True),
    example("The policy, active", {**_ACTIVE, "approval_id": None}),
    example(_WAITS, {**_POLICY, "status": "tested", "approval_id": _APPROVAL_ID}, status=202),
]
RETIRE: Final = [_UNCHANGED]
DETACH: Final = [_UNCHANGED]
ATTACH: Final = [
    example("To a tool", {"scope": "tool", "id": "summarizer/summarizer"}, request=True),
    example(
        "The attachment",
        {**_ATTACHMENT, "scope": "tool", "name": "summarizer/summarizer"},
        status=201,
    ),
    _UNCHANGED,
]
TRY: Final = [
    example("A text and a call", {"rego_text": _REGO, "input": INVOKE}, request=True),
    example(
        "What it says",
        {
            "result": "allow",
            "reasons": [],
            "obligations": {},
            "flaw": "",
            "micros": 92,
            "tests": [],
        },
    ),
]
_BACKTEST: Final[dict[str, Any]] = {
    "id": "pbt_0190f7c26d1e7b5a9c3e2f4b6a8d0e36",
    "status": "done",
    "days": 7,
    "evaluated": 1204,
    "without_input": 0,
    "changed_count": 1,
    "changed": [
        {
            "decision": _DECISION["id"],
            "run": _RUN_ID,
            "tool": "summarizer",
            "at": _AT,
            "was": "allow",
            "would_be": "deny",
            "reasons": [_REASON],
            "obligations_were": {},
            "obligations_would_be": {},
        }
    ],
    "is_cut": False,
    "created_at": _AT,
    "finished_at": _AT,
}
BACKTEST: Final = [
    example("Seven days", {"rego_text": _REGO, "days": 7}, request=True),
    example("What would change", _BACKTEST),
    example(
        "As far as it has come",
        {**_BACKTEST, "status": "running", "finished_at": None},
        status=202,
    ),
]
SETTINGS: Final = [example("The settings", _SETTINGS)]
SETTINGS_CHANGE: Final = [
    example("Two people", {"two_person": True}, request=True),
    example("The settings", {**_SETTINGS, "two_person": True, "approval_id": None}),
    example(_WAITS, {**_SETTINGS, "two_person": True, "approval_id": _APPROVAL_ID}, status=202),
]
DECISIONS: Final = [example("A page", {"results": [_DECISION], "next": None})]
DECISION: Final = [example("A decision", {**_DECISION, "input": INVOKE, "input_is_altered": False})]
