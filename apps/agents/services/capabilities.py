"""Changing what an agent offers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from apps.agents.errors import CapabilityExists, CapabilityFixed, LastCapability
from apps.agents.models import Agent, AuthRequirement, Capability, any_object
from apps.agents.runtimes.base import ToolSpec, runtime_of
from apps.agents.schemas import checked_schema
from apps.agents.services.changing import changes, facts_of_capability, lock_agent, record, save
from apps.common.actors import Actor
from apps.common.errors import FieldError, Invalid, NotFound

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
SCHEMAS: Final = ("input_schema", "output_schema")
ANNOTATIONS: Final = ("read_only", "destructive", "idempotent", "open_world")
OWNERS: Final = ("description", "auth", "price_micros")
"""What an agent's owner may say even where the runtime says the rest."""
PRICE_MAX: Final = 10**12
MOST: Final = 100


def add_capability(
    *, agent_id: UUID, fields: Mapping[str, Any], actor: Actor, at: datetime
) -> Capability:
    """Have an agent offer one thing more. Raises CapabilityFixed, CapabilityExists, Invalid."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        _check_free(agent, "Its runtime says what this agent can do.")
        rows = Capability.objects.filter(agent=agent)
        if rows.count() >= MOST:
            raise Invalid.of("name", f"An agent may have {MOST} capabilities.")
        capability = build(agent, fields)
        if rows.filter(name=capability.name).exists():
            raise CapabilityExists(f"{agent.slug} has a capability “{capability.name}”.")
        capability.save(force_insert=True)
        save(agent, at)
        new = {"capability": facts_of_capability(capability)}
        record(agent, "capability_added", actor, at, new=new)
    return capability


def update_capability(
    *, agent_id: UUID, name: str, fields: Mapping[str, Any], actor: Actor, at: datetime
) -> Capability:
    """Change what is given of a capability; its name is for good.

    Raises NotFound, Invalid, CapabilityFixed for what the runtime says.
    """
    with transaction.atomic():
        agent = lock_agent(agent_id)
        capability = _find(agent, name)
        before = facts_of_capability(capability)
        if set(_flat(fields)) - set(OWNERS):
            _check_free(agent, f"Only {', '.join(OWNERS)} can be changed.")
        apply(capability, fields)
        old, new = changes(before, facts_of_capability(capability))
        if new:
            capability.save()
            save(agent, at)
            said = {"capability": name}
            record(agent, "capability_changed", actor, at, old={**said, **old}, new={**said, **new})
    return capability


def remove_capability(*, agent_id: UUID, name: str, actor: Actor, at: datetime) -> None:
    """Have an agent offer less. Raises NotFound, CapabilityFixed, LastCapability."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        capability = _find(agent, name)
        _check_free(agent, "Its runtime says what this agent can do.")
        if Capability.objects.filter(agent=agent).count() == 1:
            raise LastCapability("Add another one first, or retire the agent.")
        old = {"capability": facts_of_capability(capability)}
        capability.delete()
        save(agent, at)
        record(agent, "capability_removed", actor, at, old=old)


def from_spec(agent: Agent, spec: ToolSpec) -> Capability:
    """A capability that the runtime fixes."""
    return Capability(
        agent=agent,
        name=spec.name,
        description=spec.description,
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        read_only=spec.annotations.read_only,
        destructive=spec.annotations.destructive,
        idempotent=spec.annotations.idempotent,
        open_world=spec.annotations.open_world,
    )


def build(agent: Agent, fields: Mapping[str, Any]) -> Capability:
    """A capability that the agent's owner declares; raises Invalid."""
    name = fields.get("name", "")
    if not _NAME.fullmatch(name):
        raise Invalid.of("name", "Use 1 to 64 letters, digits, and . _ -")
    capability = Capability(
        agent=agent, name=name, input_schema=any_object(), output_schema=any_object()
    )
    return apply(capability, {k: v for k, v in fields.items() if k != "name"})


def build_all(agent: Agent, declared: Iterable[Mapping[str, Any]]) -> list[Capability]:
    """All that a new agent's owner declares; raises Invalid naming `capabilities.<number>.…`."""
    rows: list[Capability] = []
    for number, fields in enumerate(declared):
        try:
            rows.append(build(agent, fields))
        except Invalid as error:
            told = [
                FieldError(field=f"capabilities.{number}.{e['field']}", message=e["message"])
                for e in error.extra["errors"]
            ]
            raise Invalid(error.detail, errors=told) from error
    if len({row.name for row in rows}) < len(rows):
        raise Invalid.of("capabilities", "Each needs a name of its own.")
    if not 1 <= len(rows) <= MOST:
        raise Invalid.of("capabilities", f"Declare 1 to {MOST}.")
    return rows


def apply(capability: Capability, fields: Mapping[str, Any]) -> Capability:
    """Set what is given, checked."""
    given = _flat(fields)
    for field in SCHEMAS:
        if field in given:
            given[field] = checked_schema(given[field], field=field)
    if "read_only" in given and given["read_only"] and "destructive" not in given:
        given["destructive"] = False  # the default says the worst, and this says better
    for field, value in given.items():
        setattr(capability, field, value)
    _check(capability)
    return capability


def _check(capability: Capability) -> None:
    if capability.read_only and capability.destructive:
        raise Invalid.of("annotations.destructive", "What only reads destroys nothing.")
    if capability.auth not in AuthRequirement.values:
        raise Invalid.of("auth", f"Use one of: {', '.join(AuthRequirement.values)}.")
    if not 0 <= capability.price_micros <= PRICE_MAX:
        raise Invalid.of("price_micros", f"Use 0 to {PRICE_MAX} millionths of a dollar.")
    if len(capability.description) > 1000:
        raise Invalid.of("description", "Use at most 1000 characters.")


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The API nests annotations; the row doesn't."""
    return {
        **{k: v for k, v in fields.items() if k != "annotations"},
        **fields.get("annotations", {}),
    }


def _check_free(agent: Agent, why: str) -> None:
    if runtime_of(agent.runtime).tools(agent.config) is not None:
        raise CapabilityFixed(why)


def _find(agent: Agent, name: str) -> Capability:
    found = Capability.objects.filter(agent=agent, name=name).first()
    if found is None:
        raise NotFound(f"{agent.slug} has no such capability.")
    return found
