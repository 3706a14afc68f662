"""Example calls: what a text is tried on before it is kept, and what an author may begin with."""

from __future__ import annotations

from typing import Final

from apps.common.json import Object

_RESOURCE: Final[Object] = {
    "agent": "summarizer",
    "tool": "summarizer",
    "annotations": {
        "read_only": True,
        "destructive": False,
        "idempotent": True,
        "open_world": False,
    },
    "project": {"slug": "support", "tags": ["customer-data"]},
    "agent_project": {"slug": "support", "tags": ["customer-data"]},
}
_CONTEXT: Final[Object] = {
    "cost_micros": 1500,
    "depth": 0,
    "caller": None,
    "lineage": [],
    "environment": "live",
    "input": {"text": "The parcel arrived. The customer is happy."},
    "time": "2026-03-02T10:30:00Z",
}

INVOKE: Final[Object] = {
    "subject": {"type": "user", "id": "mem_example", "role": "member", "groups": ["support"]},
    "action": {"name": "agent.invoke"},
    "resource": _RESOURCE,
    "context": _CONTEXT,
}
CALL: Final[Object] = {
    "subject": {"type": "agent", "id": "agt_example", "role": "member", "groups": []},
    "action": {"name": "agent.call"},
    "resource": _RESOURCE,
    "context": {**_CONTEXT, "depth": 1, "caller": "concierge", "lineage": ["concierge"]},
}
TOOL: Final[Object] = {
    "subject": {"type": "agent", "id": "agt_example", "role": "member", "groups": []},
    "action": {"name": "tool.call"},
    "resource": {
        "agent": "researcher",
        "tool": "post_ticket",
        "annotations": {
            "read_only": False,
            "destructive": True,
            "idempotent": False,
            "open_world": True,
        },
        "project": {"slug": "support", "tags": []},
        "agent_project": {"slug": "support", "tags": []},
    },
    "context": {
        **_CONTEXT,
        "depth": 1,
        "caller": "researcher",
        "lineage": ["researcher"],
        "host": "tickets.example.com",
        "host_is_new": True,
    },
}
SAMPLES: Final = (INVOKE, CALL, TOOL)
