"""The bodies that the API's description shows."""

from __future__ import annotations

from typing import Any, Final

from apps.common.openapi import example

_AT: Final = "2027-01-31T12:00:00Z"
_DIGEST: Final = "9f2cb71e" * 8
_WHO: Final = {"id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11", "name": "Ada Osei"}

_CAPABILITY: Final[dict[str, Any]] = {
    "name": "lookup_order",
    "description": "Tells where an order is.",
    "input_schema": {
        "type": "object",
        "properties": {"order": {"type": "string"}},
        "required": ["order"],
    },
    "output_schema": {"type": "object"},
    "annotations": {
        "read_only": True,
        "destructive": False,
        "idempotent": True,
        "open_world": False,
    },
    "auth": "any",
    "price_micros": 4200,
}
_AGENT: Final[dict[str, Any]] = {
    "id": "agt_0190f7c26d1e7b5a9c3e2f4b6a8d0e15",
    "name": "Order desk",
    "slug": "order-desk",
    "purpose": "Answers where an order is.",
    "project": "support",
    "accountable": _WHO,
    "status": "active",
    "status_note": "",
    "runtime": "http",
    "config": {"url": "https://agents.acme.example/orders"},
    "timeout_seconds": 60,
    "capabilities": [_CAPABILITY],
    "manifest": {"version": 1, "digest": _DIGEST},
    "created_at": _AT,
    "updated_at": _AT,
}
_GRANT: Final[dict[str, Any]] = {
    "id": "gnt_0190f7c26d1e7b5a9c3e2f4b6a8d0e16",
    "caller": "concierge",
    "callee": "order-desk",
    "tools": ["lookup_order"],
    "active": True,
    "created_at": _AT,
    "created_by": _WHO,
    "expires_at": None,
    "revoked_at": None,
}

AGENT: Final = [example("An agent", _AGENT)]
AGENT_CREATE: Final = [
    example(
        "A customer's endpoint",
        {
            "name": "Order desk",
            "runtime": "http",
            "config": {"url": "https://agents.acme.example/orders"},
            "capabilities": [_CAPABILITY],
        },
        request=True,
    ),
    example("The agent, with its secret", {**_AGENT, "signing_secret": "whsec_…"}, status=201),
]
AGENT_CHANGE: Final = [
    example("More time", {"timeout_seconds": 120}, request=True),
    example("The agent", {**_AGENT, "timeout_seconds": 120}),
]
KILL: Final = [
    example("Why", {"note": "It answers nonsense."}, request=True),
    example(
        "The agent, stopped",
        {**_AGENT, "status": "suspended", "status_note": "It answers nonsense.", "stopped_runs": 3},
    ),
]
CAPABILITY_CREATE: Final = [
    example("A capability", _CAPABILITY, request=True),
    example("The capability", _CAPABILITY, status=201),
]
CAPABILITY_CHANGE: Final = [
    example("Another price", {"price_micros": 5000}, request=True),
    example("The capability", {**_CAPABILITY, "price_micros": 5000}),
]
GRANT_CREATE: Final = [
    example("One tool", {"caller": "concierge", "tools": ["lookup_order"]}, request=True),
    example("The grant", _GRANT, status=201),
]
KEY_CREATE: Final = [
    example(
        "A key that only calls", {"name": "Order desk", "scopes": ["agents.invoke"]}, request=True
    ),
    example(
        "The key, with its token",
        {
            "id": "key_0190f7c26d1e7b5a9c3e2f4b6a8d0e17",
            "name": "Order desk",
            "prefix": "mnd_8fK2pQ7x",
            "member": _WHO["id"],
            "agent": "order-desk",
            "scopes": ["agents.invoke"],
            "status": "active",
            "created_at": _AT,
            "expires_at": None,
            "grace_until": None,
            "last_used_at": None,
            "revoked_at": None,
            "rotated_from": None,
            "token": "mnd_…",
        },
        status=201,
    ),
]
GRANT: Final = [example("A grant", _GRANT)]
MODEL_PROVIDER_CREATE: Final = [
    example(
        "A provider",
        {"name": "openai", "kind": "openai", "api_key": "sk-example"},
        request=True,
    ),
    example(
        "The provider",
        {
            "id": "mpv_0190f7c26d1e7b5a9c3e2f4b6a8d0e18",
            "name": "openai",
            "kind": "openai",
            "base_url": "https://api.openai.com/v1",
            "key_hint": "9xQ2",
            "created_at": _AT,
            "updated_at": _AT,
        },
        status=201,
    ),
]
_PRICE: Final = {"model": "qwen3-8b", "input_micros": 200_000, "output_micros": 600_000}
MODEL_PRICE_CREATE: Final = [
    example("A price", _PRICE, request=True),
    example(
        "The price",
        {
            "id": "mpr_0190f7c26d1e7b5a9c3e2f4b6a8d0e19",
            **_PRICE,
            "created_at": _AT,
            "updated_at": _AT,
        },
        status=201,
    ),
]
