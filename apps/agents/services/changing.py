"""What every change of an agent has in common: its lock, its version and its manifest."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apps.agents.directory import AGENT
from apps.agents.errors import AgentStateConflict
from apps.agents.models import Agent, AgentStatus, Capability, Manifest
from apps.common.errors import Invalid, NotFound
from apps.common.etag import NO_PRECONDITION, Precondition, etag_of
from apps.common.ids import public_id
from apps.common.json import Object
from apps.orgs.selectors import MEMBER
from apps.orgs.services.recording import recorder
from apps.trust.canonical import MAX_BYTES, dumps

DOCUMENT_MAX: Final = MAX_BYTES
"""Beyond this nobody could read the manifest back strictly."""

record = recorder("agent", AGENT, app="agents")


def version_of(agent: Agent) -> str:
    """The ETag of an agent."""
    return etag_of(agent.version, agent.id)


def lock_agent(agent_id: UUID, expected: Precondition = NO_PRECONDITION) -> Agent:
    """Hold an agent against everybody who would call or change it.

    An admission holds the row too (KEY SHARE): it comes before this or sees what follows. Raises
    NotFound, PreconditionFailed, AgentStateConflict for a retired one.
    """
    return check_open(lock_agents(agent_id).get(agent_id), expected)


def lock_agents(*agent_ids: UUID) -> dict[UUID, Agent]:
    """Hold several, in one order for everybody; those that there are, by their ids."""
    rows = Agent.objects.select_for_update().filter(id__in=agent_ids).order_by("id")
    return {agent.id: agent for agent in rows}


def check_open(agent: Agent | None, expected: Precondition = NO_PRECONDITION) -> Agent:
    """An agent that can be changed; raises what `lock_agent` raises."""
    if agent is None:
        raise NotFound("There is no such agent.")
    expected.check(version_of(agent))
    if agent.status == AgentStatus.RETIRED:
        raise AgentStateConflict("A retired agent stays as it was.")
    return agent


def save(agent: Agent, at: datetime) -> None:
    """Write an agent that is something else now as its next version, with its next manifest."""
    freeze(agent, at)
    save_state(agent, at)


def save_state(agent: Agent, at: datetime) -> None:
    """Write an agent whose state changed as its next version: what it is has stayed, so its
    manifest stays.
    """
    agent.version, agent.updated_at = agent.version + 1, at
    agent.save()


def freeze(agent: Agent, at: datetime) -> None:
    """Point the agent at a manifest of what it is now; the same again is no new version.

    Raises Invalid for one that would be too large.
    """
    document = describe(agent)
    last = agent.manifest
    if last is not None and {**last.document, "version": 0} == {**document, "version": 0}:
        return
    document["version"] = last.version + 1 if last else 1
    frozen = dumps(document)
    if len(frozen) > DOCUMENT_MAX:
        raise Invalid.of("capabilities", f"A manifest may have {DOCUMENT_MAX} bytes in all.")
    agent.manifest = Manifest.objects.create(
        agent=agent,
        version=document["version"],
        document=document,
        digest=hashlib.sha256(frozen).hexdigest(),
        created_at=at,
    )


def describe(agent: Agent) -> Object:
    """What an agent is, as its manifest freezes it; holds no secret, and of people only ids."""
    capabilities = Capability.objects.filter(agent_id=agent.id)
    return {
        "id": public_id(AGENT, agent.id),
        "agent": agent.slug,
        "name": agent.name,
        "purpose": agent.purpose,
        "project": agent.project.slug,
        "accountable": public_id(MEMBER, agent.accountable_id),
        "version": 0,
        "runtime": {"kind": agent.runtime, "config": agent.config},
        "timeout_seconds": agent.timeout_seconds,
        "capabilities": [
            describe_capability(row) for row in sorted(capabilities, key=lambda row: row.name)
        ],
    }


def describe_capability(row: Capability) -> Object:
    """One thing that an agent offers, as its manifest freezes it."""
    return {
        "name": row.name,
        "description": row.description,
        "input_schema": row.input_schema,
        "output_schema": row.output_schema,
        "annotations": {
            "read_only": row.read_only,
            "destructive": row.destructive,
            "idempotent": row.idempotent,
            "open_world": row.open_world,
        },
        "auth": row.auth,
        "price_micros": row.price_micros,
    }


def facts_of_capability(row: Capability) -> Object:
    """A capability for the record: of its schemas the digests, for names of fields that somebody
    else has chosen have no place in the audit log; the manifest has them whole.
    """
    return _by_digest(describe_capability(row))


def facts_of_config(config: Object) -> Object:
    """A config for the record: of the schemas of its own tools the digests, as above."""
    if "tools" not in config:
        return config
    return {**config, "tools": [_by_digest(tool) for tool in config["tools"]]}


def _by_digest(tool: Object) -> Object:
    schemas = {name for name in ("input_schema", "output_schema") if name in tool}
    digests = {f"{name}_digest": hashlib.sha256(dumps(tool[name])).hexdigest() for name in schemas}
    return {name: value for name, value in tool.items() if name not in schemas} | digests


def changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs, as it was and as it is, for the record."""
    fields = [field for field in after if after[field] != before.get(field)]
    return {field: before.get(field) for field in fields}, {f: after[f] for f in fields}
