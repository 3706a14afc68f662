"""Letting one agent call another."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from apps.agents.errors import GrantExists
from apps.agents.models import Agent, AgentStatus, Capability, Grant
from apps.agents.selectors import GRANT
from apps.agents.services.changing import changes, check_open, lock_agents
from apps.common.actors import Actor
from apps.common.errors import Conflict, Invalid, NotFound
from apps.orgs.services.recording import recorder

EVERY_TOOL: Final = "*"
_record = recorder("grant", GRANT, app="agents")


def create_grant(
    *,
    callee_id: UUID,
    caller_id: UUID,
    tools: list[str],
    by_member_id: UUID,
    expires_at: datetime | None = None,
    actor: Actor,
    at: datetime,
) -> Grant:
    """Let agent `caller` call these tools of agent `callee`; `["*"]` means all, later ones too.

    One that has run out gives way to it. Raises NotFound, AgentStateConflict, Invalid, GrantExists.
    """
    if caller_id == callee_id:
        raise Invalid.of("caller", "An agent needs no grant for itself, and can't call itself.")
    with transaction.atomic():
        held = lock_agents(caller_id, callee_id)
        callee, caller = check_open(held.get(callee_id)), held.get(caller_id)
        if caller is None or caller.status == AgentStatus.RETIRED:
            raise Invalid.of("caller", "There is no such agent.")
        _make_room(caller, callee, actor, at)
        grant = Grant(
            caller=caller,
            callee=callee,
            tools=_check_tools(callee, tools),
            expires_at=_check_expiry(expires_at, at),
            created_by_id=by_member_id,
            created_at=at,
        )
        grant.save(force_insert=True)
        _record(grant, "created", actor, at, new=_facts(grant))
    return grant


def update_grant(*, grant_id: UUID, fields: dict[str, Any], actor: Actor, at: datetime) -> Grant:
    """Change the tools or the expiry of a grant. Raises NotFound, Invalid, Conflict if revoked."""
    with transaction.atomic():
        grant = _lock(grant_id)
        if not grant.active:
            raise Conflict("The grant was revoked. Make a new one.")
        before = _facts(grant)
        if "tools" in fields:
            grant.tools = _check_tools(grant.callee, fields["tools"])
        if "expires_at" in fields:
            grant.expires_at = _check_expiry(fields["expires_at"], at)
        old, new = changes(before, _facts(grant))
        if new:
            grant.save()
            _record(grant, "updated", actor, at, old=old, new=new)
    return grant


def revoke_grant(*, grant_id: UUID, actor: Actor, at: datetime) -> Grant:
    """From the commit on no call passes by it; a second time changes nothing. Raises NotFound."""
    with transaction.atomic():
        grant = _lock(grant_id)
        if grant.active:
            _end(grant, actor, at)
    return grant


def _make_room(caller: Agent, callee: Agent, actor: Actor, at: datetime) -> None:
    """End the grant between two agents that has run out; raises GrantExists for one that counts."""
    found = Grant.objects.filter(caller=caller, callee=callee, active=True).first()
    if found is None:
        return
    if found.expires_at is None or found.expires_at > at:
        raise GrantExists(f"{caller.slug} has one on {callee.slug}. Change or revoke it.")
    _end(found, actor, at)


def _end(grant: Grant, actor: Actor, at: datetime) -> None:
    grant.active, grant.revoked_at = False, at
    grant.save()
    _record(grant, "revoked", actor, at, old=_facts(grant))


def _lock(grant_id: UUID) -> Grant:
    """Hold the callee as every change of it does: an admission comes before us or sees us. The
    grant too, for it is revoked with its caller.
    """
    callee_id = Grant.objects.filter(id=grant_id).values_list("callee_id", flat=True).first()
    if callee_id is None:
        raise NotFound("There is no such grant.")
    Agent.objects.select_for_update().get(id=callee_id)
    rows = Grant.objects.select_for_update(of=("self",))
    return rows.select_related("caller", "callee", "created_by").get(id=grant_id)


def _check_tools(callee: Agent, tools: list[str]) -> list[str]:
    if EVERY_TOOL in tools:
        return [EVERY_TOOL]
    there = set(Capability.objects.filter(agent=callee).values_list("name", flat=True))
    if not tools or set(tools) - there:
        raise Invalid.of("tools", f'Use ["*"] or some of: {", ".join(sorted(there))}.')
    return sorted(set(tools))


def _check_expiry(expires_at: datetime | None, at: datetime) -> datetime | None:
    if expires_at is not None and expires_at <= at:
        raise Invalid.of("expires_at", "Use a time that is still to come.")
    return expires_at


def _facts(grant: Grant) -> dict[str, Any]:
    return {
        "caller": grant.caller.slug,
        "callee": grant.callee.slug,
        "tools": grant.tools,
        "expires_at": grant.expires_at.isoformat() if grant.expires_at else None,
    }
