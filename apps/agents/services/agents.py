"""Registering agents, changing them, and moving them through their states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.agents.errors import AgentSlugInUse, AgentStateConflict, NotSigned
from apps.agents.models import Agent, AgentStatus, Capability, Grant, Manifest
from apps.agents.runtimes.base import Runtime, runtime_of
from apps.agents.runtimes.signing import new_secret, secret_ref
from apps.agents.selectors import GRANT, count_agents
from apps.agents.services import capabilities as offers
from apps.agents.services.changing import (
    changes,
    facts_of_config,
    freeze,
    lock_agent,
    record,
    save,
    save_state,
)
from apps.agents.services.kill_switch import stop_all
from apps.common.actors import Actor
from apps.common.deadlocks import again_after_deadlock
from apps.common.errors import Invalid, NotFound
from apps.common.etag import NO_PRECONDITION, Precondition
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.text import free_slug, is_slug, make_slug
from apps.orgs import ruled
from apps.orgs.models import Member, Project
from apps.orgs.selectors import MEMBER, get_default_project
from apps.orgs.services.keys import revoke_keys_of_agent
from apps.tenants.services.plans import hold_room
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

    One whose runtime signs gets its secret with it. Raises Invalid, AgentSlugInUse, PlanLimit.
    """
    agent, offered = plan_agent(
        name=name,
        runtime=runtime,
        config=config,
        slug=slug,
        purpose=purpose,
        project=project,
        accountable_id=accountable_id,
        status=status,
        timeout_seconds=timeout_seconds,
        capabilities=capabilities,
        at=at,
    )
    with _taken_slug_told(agent.slug), transaction.atomic():
        hold_room("agents", count=count_agents)
        _insert(agent, offered, status, at)
        if runtime_of(runtime).signs:
            get_secret_store().put(secret_ref(agent.id), new_secret())
        record(agent, "created", actor, at, new=_all_facts(agent))
    return agent


def plan_agent(
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
    at: datetime,
) -> tuple[Agent, list[Capability]]:
    """The agent that these make and what it would offer, checked and not written. Raises Invalid.

    Whether its slug is free, only writing it tells for good; `check_slug_free` tells for now.
    """
    kind = runtime_of(runtime)
    if status not in (AgentStatus.DRAFT, AgentStatus.ACTIVE):
        raise Invalid.of("status", "A new agent is a draft or active.")
    agent = Agent(
        slug=_new_slug(slug, name),
        project=_open(project or get_default_project()),
        accountable_id=_member(accountable_id).id,
        runtime=runtime,
        config=kind.check_config(config),
        created_at=at,
        updated_at=at,
        **_checked({"name": name, "purpose": purpose, "timeout_seconds": timeout_seconds}),
    )
    return agent, _capabilities(agent, kind, capabilities)


def check_slug_free(slug: str) -> None:
    """Raises AgentSlugInUse if an agent that isn't retired has the slug now."""
    if Agent.objects.exclude(status=AgentStatus.RETIRED).filter(slug=slug).exists():
        raise _slug_in_use(slug)


def update_agent(
    *,
    agent_id: UUID,
    fields: Mapping[str, Any],
    expected: Precondition = NO_PRECONDITION,
    may_move: Callable[[], bool] = ruled.nobody,
    actor: Actor,
    at: datetime,
) -> Agent:
    """Change what is given: name, purpose, timeout_seconds, config, project, accountable_id, and
    status, which is the same as suspending or activating it.

    Raises NotFound, PreconditionFailed, Invalid, AgentStateConflict for a retired agent, and
    PermissionDenied for another project from who may not move it (apps.orgs.ruled).
    """
    config = _check_config(agent_id, fields["config"]) if "config" in fields else None
    with transaction.atomic():
        agent = lock_agent(agent_id, expected)
        before = _facts(agent)
        for field, value in _checked(fields).items():
            setattr(agent, field, value)
        if config is not None and config != agent.config:
            _configure(agent, config)
        if "project" in fields and fields["project"] != agent.project:
            if not may_move():
                raise ruled.refused("an agent’s project")
            agent.project = _open(fields["project"])
        if fields.get("accountable_id", agent.accountable_id) != agent.accountable_id:
            agent.accountable = _member(fields["accountable_id"])
        old, new = changes(before, _facts(agent))
        if new:
            save(agent, at)
            record(agent, "updated", actor, at, old=old, new=new)
        if fields.get("status", agent.status) != agent.status:
            _move(agent, fields["status"], actor, at)
    return agent


def activate_agent(*, agent_id: UUID, actor: Actor, at: datetime) -> Agent:
    """Let an agent work. Raises AgentStateConflict if it does already or is retired."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        if agent.status == AgentStatus.ACTIVE:
            raise AgentStateConflict("The agent is active already.")
        _move(agent, AgentStatus.ACTIVE, actor, at)
    return agent


def suspend_agent(*, agent_id: UUID, note: str = "", actor: Actor, at: datetime) -> Agent:
    """Let an agent begin nothing new; what it has begun goes on to its end."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        _move(agent, AgentStatus.SUSPENDED, actor, at, note=note)
    return agent


@again_after_deadlock
def kill_agent(*, agent_id: UUID, note: str = "", actor: Actor, at: datetime) -> tuple[Agent, int]:
    """Suspend an agent and end all that it has under way, in one commit; how many runs ended.

    From that commit on no step of theirs begins anywhere, and what comes late is discarded. An
    agent that is suspended already can be killed too, for its runs may still be at work.
    """
    with transaction.atomic():
        agent = lock_agent(agent_id)
        said = _trimmed(note) or "Stopped by the kill switch."
        if agent.status == AgentStatus.SUSPENDED:
            agent.status_note = said
        else:
            _suspend(agent, said)
        save_state(agent, at)
        stopped = stop_all(agent_id=agent.id, actor=actor, at=at, reason="agent_stopped")
        new = {"note": agent.status_note, "stopped_runs": stopped}
        record(agent, "killed", actor, at, new=new)
    return agent, stopped


@again_after_deadlock
def retire_agent(
    *, agent_id: UUID, expected: Precondition = NO_PRECONDITION, actor: Actor, at: datetime
) -> Agent:
    """End an agent for good: what it offers, its grants and keys go, runs and manifests stay."""
    with transaction.atomic():
        agent = lock_agent(agent_id, expected)
        stopped = stop_all(agent_id=agent.id, actor=actor, at=at, reason="agent_retired")
        agent.retire()
        save_state(agent, at)
        Capability.objects.filter(agent=agent).delete()
        revoked = _revoke_grants(agent, at)
        stopped_keys = revoke_keys_of_agent(agent_id=agent.id, actor=actor, at=at)
        if runtime_of(agent.runtime).signs:
            get_secret_store().delete(secret_ref(agent.id))
        facts = {
            "stopped_runs": stopped,
            "revoked_grants": revoked,
            "revoked_keys": stopped_keys,
        }
        record(agent, "retired", actor, at, new=facts)
    return agent


def find_signing_secret(agent: Agent) -> str | None:
    """The secret that an agent's endpoints check signatures with, if it may have any."""
    if not runtime_of(agent.runtime).signs:
        return None
    return get_secret_store().get(secret_ref(agent.id)).decode()


def rotate_signing_secret(*, agent_id: UUID, actor: Actor, at: datetime) -> str:
    """Sign with a new secret from now on; the old one counts no more. Raises NotSigned."""
    with transaction.atomic():
        agent = lock_agent(agent_id)
        if not runtime_of(agent.runtime).signs:
            raise NotSigned("Agents of this runtime call no endpoints of yours.")
        store, ref, secret = get_secret_store(), secret_ref(agent.id), new_secret()
        store.delete(ref, version=store.rotate(ref, secret) - 1)
        record(agent, "secret_rotated", actor, at)
    return secret.decode()


def _move(agent: Agent, status: str, actor: Actor, at: datetime, *, note: str = "") -> None:
    """Activate or suspend an agent, on record."""
    if status == AgentStatus.ACTIVE:
        agent.activate()
        save_state(agent, at)
        record(agent, "activated", actor, at)
    elif status == AgentStatus.SUSPENDED:
        _suspend(agent, _trimmed(note))
        save_state(agent, at)
        record(agent, "suspended", actor, at, new={"note": agent.status_note})
    else:
        raise AgentStateConflict("An agent can be activated and suspended.")


def _suspend(agent: Agent, note: str) -> None:
    if agent.status != AgentStatus.ACTIVE:
        raise AgentStateConflict(f"The agent isn't active: it is {agent.status}.")
    agent.suspend(note=note)


def _trimmed(note: str) -> str:
    return note.strip()[:NOTE_MAX]


def _revoke_grants(agent: Agent, at: datetime) -> list[str]:
    """End what the agent may call and who may call it. In the order of their ids, so that two
    agents that retire together and hold grants on each other don't wait for each other.
    """
    mine = Grant.objects.filter(Q(caller=agent) | Q(callee=agent), active=True)
    ids = list(mine.select_for_update().order_by("id").values_list("id", flat=True))
    Grant.objects.filter(id__in=ids).update(active=False, revoked_at=at)
    return [public_id(GRANT, grant_id) for grant_id in ids]


def _capabilities(
    agent: Agent, kind: Runtime, declared: Iterable[Mapping[str, Any]] | None
) -> list[Capability]:
    """What the runtime fixes, or what the owner declares; without either, what its kind offers."""
    fixed = kind.tools(agent.config)
    if fixed is not None:
        if declared is not None:
            raise Invalid.of("capabilities", "This runtime says by itself what the agent can do.")
        return [offers.from_spec(agent, spec) for spec in fixed]
    return offers.build_all(agent, declared or kind.offers)


def _check_config(agent_id: UUID, config: Mapping[str, Any]) -> Object:
    """A new config, checked before the agent is held: invocations wait for its row."""
    runtime = Agent.objects.filter(id=agent_id).values_list("runtime", flat=True).first()
    if runtime is None:
        raise NotFound("There is no such agent.")
    return runtime_of(runtime).check_config(config)


def _configure(agent: Agent, config: Object) -> None:
    """Give the agent another config. What the runtime fixes by it is made anew; what the owner
    had said of a tool that stays, stays.
    """
    kind = runtime_of(agent.runtime)
    before = {spec.name: spec.description for spec in kind.tools(agent.config) or ()}
    agent.config = config
    fixed = kind.tools(config)
    if fixed is None:
        return
    rows = Capability.objects.filter(agent=agent)
    kept = {row.name: row for row in rows}
    rows.delete()
    for spec in fixed:
        row = offers.from_spec(agent, spec)
        if (former := kept.get(spec.name)) is not None:
            row.price_micros, row.auth = former.price_micros, former.auth
            if former.description != before.get(spec.name):
                row.description = former.description
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


def _open(project: Project) -> Project:
    if project.archived_at is not None:
        raise Invalid.of("project", "This project is archived.")
    return project


def _new_slug(given: str, name: str) -> str:
    slug = given or _suggest_slug(name)
    if not is_slug(slug):
        raise Invalid.of("slug", "Use 1 to 40 lower-case letters, digits and hyphens.")
    return slug


def _insert(agent: Agent, offered: list[Capability], status: str, at: datetime) -> None:
    """Write a new agent with what it offers and its first manifest."""
    agent.save(force_insert=True)
    Capability.objects.bulk_create(offered)
    freeze(agent, at)
    if status == AgentStatus.ACTIVE:
        agent.activate()
    agent.save()


@contextmanager
def _taken_slug_told(slug: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if "agent_slug" not in str(error):
            raise
        raise _slug_in_use(slug) from error


def _slug_in_use(slug: str) -> AgentSlugInUse:
    return AgentSlugInUse(f"The slug “{slug}” belongs to another agent.")


def _suggest_slug(name: str) -> str:
    rows = Agent.objects.exclude(status=AgentStatus.RETIRED)
    slug = make_slug(name, fallback="agent")
    return free_slug(slug, is_taken=lambda s: rows.filter(slug=s).exists())


def _facts(agent: Agent) -> dict[str, Any]:
    return {
        "name": agent.name,
        "purpose": agent.purpose,
        "project": agent.project.slug,
        "accountable": {
            "id": public_id(MEMBER, agent.accountable_id),
            "name": agent.accountable.label,
        },
        "config": facts_of_config(agent.config),
        "timeout_seconds": agent.timeout_seconds,
    }


def _all_facts(agent: Agent) -> dict[str, Any]:
    """A new agent for the record; its manifest's digest stands for all that it offers."""
    manifest = cast(Manifest, agent.manifest)
    names = sorted(tool["name"] for tool in manifest.document["capabilities"])
    more = {"slug": agent.slug, "status": agent.status, "runtime": agent.runtime}
    return {**_facts(agent), **more, "capabilities": names, "manifest_digest": manifest.digest}
