"""Agents made by the services, the short way."""

from __future__ import annotations

from typing import Any

from apps.agents.models import Agent, Grant
from apps.agents.services import agents, grants
from tests.orgs.conftest import AT

URL = "https://93.184.215.14/agent"  # an address, so that no name is looked up


def make_agent(owner: Any, **fields: Any) -> Agent:
    """A builtin echo agent unless told otherwise."""
    facts: dict[str, Any] = {"name": "Echo", "runtime": "builtin", "config": {"skill": "echo"}}
    who = {"accountable_id": owner.member_id, "actor": owner.actor, "at": AT}
    return agents.create_agent(**{**facts, **who, **fields})


def make_desk(owner: Any, **fields: Any) -> Agent:
    """An http agent; its owner declares what it offers."""
    facts = {"name": "Order desk", "runtime": "http", "config": {"url": URL}}
    return make_agent(owner, **{**facts, **fields})


def let_call(owner: Any, caller: Agent, callee: Agent, *tools: str, **fields: Any) -> Grant:
    """A grant by the owner; without tools it is for all."""
    facts: dict[str, Any] = {"tools": list(tools) or ["*"], "actor": owner.actor, "at": AT}
    return grants.create_grant(
        callee_id=callee.id,
        caller_id=caller.id,
        by_member_id=owner.member_id,
        **{**facts, **fields},
    )
