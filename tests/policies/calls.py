"""Calls made up from a seed: what a policy may be asked about, and what it isn't prepared for."""

from __future__ import annotations

import random
from typing import Any

AGENTS = ["echo", "calculator", "summarizer", "concierge", "planner"]
TEXTS = [
    "",
    "please summarise",
    "The Password is hunter2!",
    "write to ann@example.com and bob@mail.example.org",
    "Grüße aus München, Straße 5",
    "naïve café — ünïcode",
    "日本語のテキスト",
    "aeiou and the rest of the alphabet",
    "  spaces around. ",
    'quotes " and \\ backslash\nnewline\ttab',
    "a somewhat longer text that goes on for a while, with extraordinarily long words",
]
HOSTS = ["api.example.com", "a.b.example.com", "db1.internal.net", "10.0.0.7", "example.org"]


def calls(number: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [_call(chance) for _ in range(number)]


def _call(chance: random.Random) -> dict[str, Any]:
    action = chance.choice(["agent.invoke", "agent.call", "tool.call"])
    call: dict[str, Any] = {
        "subject": _subject(chance),
        "action": {"name": action},
        "resource": _resource(chance),
        "context": _context(chance),
    }
    if action == "tool.call":
        call["context"] |= {
            "host": chance.choice(HOSTS),
            "host_is_new": chance.random() < 0.5,
        }
    for part in ("subject", "resource", "context"):
        if chance.random() < 0.15:  # a part that isn't there
            call[part].pop(chance.choice(sorted(call[part])))
    return call


def _subject(chance: random.Random) -> dict[str, Any]:
    return {
        "type": chance.choice(["user", "agent"]),
        "id": f"mem_{chance.randrange(100)}",
        "role": chance.choice(["owner", "admin", "member", "viewer", "auditor"]),
        "groups": chance.sample(["ops", "support", "sales"], chance.randrange(3)),
    }


def _resource(chance: random.Random) -> dict[str, Any]:
    names = ("read_only", "destructive", "idempotent", "open_world")
    tags = ["pci", "secret", "reviewed", "x-test", "customer-data", "payments"]
    return {
        "agent": chance.choice(AGENTS),
        "tool": chance.choice(["echo", "post_ticket", "search"]),
        "annotations": {name: chance.random() < 0.5 for name in names},
        "project": {"slug": "support", "tags": chance.sample(tags, chance.randrange(4))},
        "agent_project": {"slug": "billing", "tags": tags[:1]},
    }


def _context(chance: random.Random) -> dict[str, Any]:
    lineage = chance.choices(AGENTS, k=chance.randrange(4))
    return {
        "cost_micros": chance.choice([0, 7, 1000, 1500, 999_999, 10**6, 2**53 - 1]),
        "depth": chance.randrange(6),
        "caller": chance.choice([None, *AGENTS]),
        "lineage": lineage,
        "environment": chance.choice(["live", "sandbox", "replay"]),
        "input": _input(chance),
        "time": f"20{chance.randrange(24, 30)}-{chance.randrange(1, 13):02}-"
        f"{chance.randrange(1, 29):02}T{chance.randrange(24):02}:{chance.randrange(60):02}:00"
        f"{chance.choice(['Z', '.5Z', '+02:00', '.123456789Z'])}",
    }


def _input(chance: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"text": chance.choice(TEXTS)}
    if chance.random() < 0.5:
        found["amount"] = chance.choice([0, 1.5, -3, "12", "x", 10**15, 0.25, None, True])
    if chance.random() < 0.4:
        found["person name"] = {"email": "ann@example.com", "tags": chance.choices(TEXTS, k=2)}
    if chance.random() < 0.3:
        found["version"] = chance.choice(["1.2.3", "one", "2.0.0-rc.1"])
    return found
