"""Agents and runs made the short way, for tests of what happens to them."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.agents.models import Agent, Capability, Grant
from apps.agents.services.changing import freeze
from apps.common.actors import Actor, ActorType
from apps.common.ids import uuid7
from apps.orgs.models import Member, Project
from apps.orgs.principals import Principal
from apps.runs import spine
from apps.runs.spine import Claim, Hold, Notes, Order, Parentage

CALLER = Actor(ActorType.API_KEY, "key_1", "Test key")
BY = Principal(
    actor=CALLER,
    org_id=uuid.UUID(int=0),
    member_id=uuid.UUID(int=1),
    member_label="Somebody",
    email="somebody@acme.example",
    role="member",
    role_name="Member",
    role_permissions=frozenset(),
    permissions=frozenset(),
)
"""Whose key that is."""


def capability(name: str, **fields: Any) -> dict[str, Any]:
    """A capability as a manifest has it."""
    return {
        "name": name,
        "description": f"Does {name}.",
        "input_schema": {"type": "object"},
        "output_schema": {"type": "object"},
        "annotations": {},
        "auth": "any",
        "price_micros": 0,
        **fields,
    }


def make_agent(slug: str, **fields: Any) -> Agent:
    """An active agent of any runtime and state, past the service that would refuse it."""
    now = timezone.now()
    status = fields.pop("status", "active")
    tools = fields.pop("tools", [capability(slug)])
    runtime, config = fields.pop("runtime", "scripted"), fields.pop("config", {})
    timeout = fields.pop("timeout_seconds", 60)
    agent = Agent(
        project=Project.objects.get(is_default=True),
        name=slug.title(),
        slug=slug,
        accountable=Member.objects.order_by("joined_at").first(),
        status=status,
        runtime=runtime,
        config=config,
        timeout_seconds=timeout,
        created_at=now,
        updated_at=now,
        **fields,
    )
    agent.save()
    for tool in tools:
        fields = {name: value for name, value in tool.items() if name != "annotations"}
        Capability.objects.create(agent=agent, **fields)
    freeze(agent, now)
    agent.save(update_fields=["manifest"])
    return agent


def grant(caller: Agent, callee: Agent, tools: list[str] | None = None, **fields: Any) -> Grant:
    """`caller` may call `callee`."""
    return Grant.objects.create(
        caller=caller,
        callee=callee,
        tools=tools or ["*"],
        created_at=timezone.now(),
        created_by=Member.objects.order_by("joined_at").first(),
        **fields,
    )


def order(agent: Agent, **fields: Any) -> Order:
    """An order for the agent's only tool."""
    assert agent.manifest_id is not None
    body = fields.pop("body", b"body")
    key, principal = fields.pop("key", None), fields.pop("principal", CALLER.principal)
    return Order(
        **{
            "run_id": uuid7(),
            "agent_id": agent.id,
            "manifest_id": agent.manifest_id,
            "project_id": agent.project_id,
            "tool": agent.slug,
            "title": "A run",
            "mode": "sync",
            "input": {"text": "hello"},
            "timeout_seconds": 60,
            "price_micros": 0,
            "scopes": (),
            "caller": CALLER,
            "claim": Claim(principal, key, hashlib.sha256(body).digest()),
            **fields,
        }
    )


def admit(agent: Agent, *, at: datetime | None = None, **fields: Any) -> spine.Admission:
    return spine.admit(order(agent, **fields), at=at or timezone.now())


def parentage(hold: Hold, ordinal: int = 1, notes: Notes | None = None) -> Parentage:
    return Parentage(hold, uuid7(), f"step {ordinal}", ordinal, notes)


def child_of(hold: Hold, agent: Agent, *, ordinal: int = 1, **fields: Any) -> spine.Admission:
    """Another agent's run, called from one."""
    return admit(
        agent,
        parent=parentage(hold, ordinal),
        principal=f"run:{hold.run_id.hex}",
        key=fields.pop("key", str(ordinal)),
        **fields,
    )


def some_id() -> uuid.UUID:
    return uuid7()


LONG_AGO = timedelta(hours=1)
