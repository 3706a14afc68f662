"""Registering agents, changing them, and moving them through their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.agents.errors import AgentSlugInUse, AgentStateConflict, NotSigned
from apps.agents.models import Agent, AgentStatus, Capability, Grant
from apps.agents.runtimes.base import Runtime, runtime_of
from apps.agents.runtimes.signing import new_secret, secret_ref
from apps.agents.services import capabilities as offers
from apps.agents.services.changing import changes, describe, freeze, lock_agent, record, save
from apps.agents.services.kill_switch import stop_all
from apps.common.actors import Actor
from apps.common.errors import Invalid
from apps.common.etag import NO_PRECONDITION, Precondition
from apps.common.text import free_slug, is_slug, make_slug
from apps.orgs.models import Member, Project
from apps.orgs.selectors import get_default_project
from apps.trust.secrets import get_secret_store

TIMEOUT_MAX: Final = 600
PURPOSE_MAX: Final = 500
NOTE_MAX: Final = 200
_EDITABLE: Final = ("name", "purpose", "timeout_seconds")


def create_agent(
    *,
    name: str,
    runtime: str,
    config: Mapping[str, Any],
    slug: str = "",
    purpose: str = "",
    project: Project | None = None,
    accountable_id: UUID,
    status: str = AgentStatus.ACTIVE,
    timeout_seconds: int = 60,
    capabilities: Iterable[Mapping[str, Any]] | None = None,
    actor: Actor,
    at: datetime,
) -> Agent:
    """Register an agent; without a slug it gets the nearest free one to its name.

    An http agent gets a signing secret with it (`signing_secret`). Raises Invalid, AgentSlugInUse.
    """
    kind = runtime_of(runtime)
    wanted = slug or _suggest_slug(name)
    if not is_slug(wanted):
        raise Invalid.of("slug", "Use 1 to 40 lower-case letters, digits and hyphens.")
    if status not in (AgentStatus.DRAFT, AgentStatus.ACTIVE):
        raise Invalid.of("status", "A new agent is a draft or active.")
    agent = Agent(
        slug=wanted,
        project=project or get_default_project(),
        accountable_id=_member(accountable_id).id,
        runtime=runtime,
        config=kind.check_config(config),
        created_at=at,
        updated_at=at,
        **_checked({"name": name, "purpose": purpose, "timeout_seconds": timeout_seconds}),
    )
    try:
        with transaction.atomic():
            agent.save(force_insert=True)
            Capability.objects.bulk_create(_capabilities(agent, kind, capabilities))
            freeze(agent, at)
            if status == AgentStatus.ACTIVE:
                agent.activate()
            agent.save()
            if kind.signs:
                get_secret_store().put(secret_ref(agent.id), new_secret())
            record(agent, "created", actor, at, new={**describe(agent), "status": agent.status})
    except IntegrityError as error:
        if "agent_slug" not in str(error):
            raise
        raise AgentSlugInUse(f"The slug “{wanted}” belongs to another agent.") from error
    return agent


def update_agent(
    *,
    agent_id: UUID,
    fields: Mapping[str, Any],
    expected: Precondition = NO_PRECONDITION,
    actor: Actor,
    at: datetime,
) -> Agent:
    """Change what is given: name, purpose, timeout_seconds, config, project, accountable_id.

    Raises NotFound, PreconditionFailed, Invalid, AgentStateConflict for a retired agent.
    """
    with transaction.atomic():
        agent = lock_agent(agent_id, expected)
        before = _facts(agent)
        for field, value in _checked(fields).items():
            setattr(agent, field, value)
        if "config" in fields:
            _configure(agent, fields["config"])
        if "project" in fields:
            agent.project = fields["project"]
        if "accountable_id" in fields:
            agent.accountable = _member(fields["accountable_id"])
        old, new = changes(before, _facts(agent))
        if new:
            save(agent, at)
            record(agent, "updated", actor, at, old=old, new=new)
    return agent


def activate_agent(*, agent_id: UUID, actor: Actor, at: datetime) -> Agent:
    """Let an agent work. Raises AgentStateConflict if it does already or is retired."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        if agent.status == AgentStatus.ACTIVE:
            raise AgentStateConflict("The agent is active already.")
        agent.activate()
        save(agent, at)
        record(agent, "activated", actor, at)
    return agent


def suspend_agent(*, agent_id: UUID, note: str = "", actor: Actor, at: datetime) -> Agent:
    """Let an agent begin nothing new; what it has begun goes on to its end."""
    with transaction.atomic():
        agent = _suspended(agent_id, note, at)
        record(agent, "suspended", actor, at, new={"note": agent.status_note})
    return agent


def kill_agent(*, agent_id: UUID, note: str = "", actor: Actor, at: datetime) -> tuple[Agent, int]:
    """Suspend an agent and end all that it has under way, in one commit; how many runs ended.

    From that commit on no step of theirs begins anywhere, and what comes late is discarded. An
    agent that is suspended already can be killed too, for its runs may still be at work.
    """
    with transaction.atomic():
        agent = _suspended(agent_id, note or "Stopped by the kill switch.", at, again=True)
        stopped = stop_all(agent_id=agent.id, actor=actor, at=at, reason="agent_stopped")
        new = {"note": agent.status_note, "stopped_runs": stopped}
        record(agent, "killed", actor, at, new=new)
    return agent, stopped


def retire_agent(
    *, agent_id: UUID, expected: Precondition = NO_PRECONDITION, actor: Actor, at: datetime
) -> Agent:
    """End an agent for good: what it offers and its grants go, runs and manifests stay."""
    with transaction.atomic():
        agent = lock_agent(agent_id, expected)
        stopped = stop_all(agent_id=agent.id, actor=actor, at=at, reason="agent_retired")
        agent.retire()
        agent.version, agent.updated_at = agent.version + 1, at
        agent.save()
        Capability.objects.filter(agent=agent).delete()
        for side in ({"caller": agent}, {"callee": agent}):
            Grant.objects.filter(active=True, **side).update(active=False, revoked_at=at)
        if runtime_of(agent.runtime).signs:
            get_secret_store().delete(secret_ref(agent.id))
        record(agent, "retired", actor, at, new={"stopped_runs": stopped})
    return agent


def find_signing_secret(agent: Agent) -> str | None:
    """The secret that an agent's endpoint checks signatures with, if calls are signed."""
    if not runtime_of(agent.runtime).signs:
        return None
    return get_secret_store().get(secret_ref(agent.id)).decode()


def rotate_signing_secret(*, agent_id: UUID, actor: Actor, at: datetime) -> str:
    """Sign with a new secret from now on; the old one counts no more. Raises NotSigned."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        if not runtime_of(agent.runtime).signs:
            raise NotSigned("Only agents of the http runtime are called with signatures.")
        secret = new_secret()
        get_secret_store().rotate(secret_ref(agent.id), secret)
        record(agent, "secret_rotated", actor, at)
    return secret.decode()


def _suspended(agent_id: UUID, note: str, at: datetime, *, again: bool = False) -> Agent:
    agent = lock_agent(agent_id)
    if agent.status == AgentStatus.ACTIVE:
        agent.suspend(note=note.strip()[:NOTE_MAX])
        save(agent, at)
    elif not (again and agent.status == AgentStatus.SUSPENDED):
        raise AgentStateConflict(f"The agent is {agent.get_status_display().lower()}.")
    return agent


def _capabilities(
    agent: Agent, kind: Runtime, declared: Iterable[Mapping[str, Any]] | None
) -> list[Capability]:
    """What the runtime fixes, or what the owner declares; without either, one that takes all."""
    fixed = kind.tools(agent.config)
    if fixed is not None:
        if declared is not None:
            raise Invalid.of("capabilities", "This runtime says by itself what the agent can do.")
        return [offers.from_spec(agent, spec) for spec in fixed]
    rows = [offers.build(agent, fields) for fields in declared or [{"name": "invoke"}]]
    if len({row.name for row in rows}) < len(rows):
        raise Invalid.of("capabilities", "Each needs a name of its own.")
    if not 1 <= len(rows) <= offers.MOST:
        raise Invalid.of("capabilities", f"Declare 1 to {offers.MOST}.")
    return rows


def _configure(agent: Agent, config: Mapping[str, Any]) -> None:
    """Give the agent another config; what the runtime fixes by it is made anew, prices stay."""
    kind = runtime_of(agent.runtime)
    agent.config = kind.check_config(config)
    fixed = kind.tools(agent.config)
    if fixed is None:
        return
    rows = Capability.objects.filter(agent=agent)
    kept = {row.name: row for row in rows}
    rows.delete()
    for spec in fixed:
        row = offers.from_spec(agent, spec)
        if (former := kept.get(spec.name)) is not None:
            row.price_micros, row.auth = former.price_micros, former.auth
        row.save(force_insert=True)


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The plain fields among what is given, trimmed; raises Invalid."""
    given = {field: fields[field] for field in _EDITABLE if field in fields}
    if "name" in given:
        given["name"] = given["name"].strip()
        if not 1 <= len(given["name"]) <= 80:
            raise Invalid.of("name", "Use 1 to 80 characters.")
    if len(given.get("purpose", "")) > PURPOSE_MAX:
        raise Invalid.of("purpose", f"Use at most {PURPOSE_MAX} characters.")
    if not 1 <= given.get("timeout_seconds", 1) <= TIMEOUT_MAX:
        raise Invalid.of("timeout_seconds", f"Use 1 to {TIMEOUT_MAX} seconds.")
    return given


def _member(member_id: UUID) -> Member:
    found = Member.objects.filter(id=member_id, left_at=None).first()
    if found is None:
        raise Invalid.of("accountable", "Name somebody who is a member.")
    return found


def _suggest_slug(name: str) -> str:
    rows = Agent.objects.exclude(status=AgentStatus.RETIRED)
    slug = make_slug(name, fallback="agent")
    return free_slug(slug, is_taken=lambda s: rows.filter(slug=s).exists())


def _facts(agent: Agent) -> dict[str, Any]:
    return {
        "name": agent.name,
        "purpose": agent.purpose,
        "project": agent.project.slug,
        "accountable": agent.accountable.label,
        "config": agent.config,
        "timeout_seconds": agent.timeout_seconds,
    }
