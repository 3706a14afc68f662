"""Agents made by the services or asked for over the API, the short way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import Agent, Capability, Grant, Manifest
from apps.agents.services import agents, grants
from apps.common.errors import Invalid
from apps.trust.models import SealedSecret
from tests.orgs.conftest import AT, problem

URL = "https://93.184.215.14/agent"  # an address, so that no name is looked up
ECHO = {"name": "Echo", "runtime": "builtin", "config": {"skill": "echo"}}
DESK = {"name": "Order desk", "runtime": "http", "config": {"url": URL}}


def make_agent(owner: Any, **fields: Any) -> Agent:
    """A builtin echo agent unless told otherwise."""
    who = {"accountable_id": owner.member_id, "actor": owner.actor, "at": AT}
    return agents.create_agent(**{**ECHO, **who, **fields})


def make_desk(owner: Any, **fields: Any) -> Agent:
    """An http agent; its owner declares what it offers."""
    return make_agent(owner, **{**DESK, **fields})


def let_call(owner: Any, caller: Agent, callee: Agent, *tools: str, **fields: Any) -> Grant:
    """A grant by the owner; without tools it is for all."""
    facts: dict[str, Any] = {"tools": list(tools) or ["*"], "actor": owner.actor, "at": AT}
    return grants.create_grant(
        callee_id=callee.id,
        caller_id=caller.id,
        by_member_id=owner.member_id,
        **{**facts, **fields},
    )


def errors(answer: Any) -> dict[str, str]:
    assert problem(answer) == (422, "invalid"), answer.content
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def rows() -> tuple[int, ...]:
    """How much there is of everything that an agent consists of."""
    return tuple(kind.objects.count() for kind in (Agent, Capability, Manifest, SealedSecret))


def refusal(call: Callable[[], Any]) -> dict[str, str]:
    """The fields that are refused, with the reasons; nothing has been written."""
    before = rows()
    with pytest.raises(Invalid) as caught:
        call()
    assert rows() == before
    return {error["field"]: error["message"] for error in caught.value.extra["errors"]}
