"""Who must approve what. A rule counts for requests that come; those that wait keep theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.approvals import registry
from apps.approvals.errors import RuleExists
from apps.approvals.models import ApprovalRule
from apps.approvals.selectors import DECIDE, RULE, find_agent_id
from apps.common.errors import Invalid, NotFound
from apps.orgs.models import Role, RolePermission
from apps.orgs.principals import Principal
from apps.orgs.selectors import get_project
from apps.orgs.services.recording import recorder

QUORUM_MAX: Final = 20
TIMEOUT_MAX: Final = 60 * 24 * 30
"""In minutes."""
_record = recorder("rule", RULE, app="approvals")


def create_rule(
    *,
    subject_type: str = "",
    agent: str = "",
    tool: str = "",
    project: str = "",
    quorum: int = 1,
    role: str = "",
    timeout_minutes: int,
    by: Principal,
    at: datetime,
) -> ApprovalRule:
    """Say who must approve what is asked for this; empty means any.

    `agent` and `project` are slugs or ids, of which one may be named. Raises Invalid, RuleExists.
    """
    scope = _scope(subject_type, agent, tool, project)
    try:
        with transaction.atomic():
            rule = ApprovalRule.objects.create(
                **scope,
                quorum=quorum,
                role=_deciding_role(role),
                timeout_minutes=timeout_minutes,
                created_by_id=by.member_id,
                created_at=at,
                updated_at=at,
            )
            _record(rule, "created", by.actor, at, new=_facts(rule))
    except IntegrityError as error:
        if "approval_rule_once" not in str(error):
            raise
        raise RuleExists("Change that one, or remove it first.") from error
    return rule


def update_rule(
    *, rule_id: UUID, fields: dict[str, Any], by: Principal, at: datetime
) -> ApprovalRule:
    """Change how many, of which role or how long; not what for. Raises NotFound, Invalid."""
    with transaction.atomic():
        rule = _hold(rule_id)
        before = _facts(rule)
        if "role" in fields:
            rule.role = _deciding_role(fields["role"])
        rule.quorum = fields.get("quorum", rule.quorum)
        rule.timeout_minutes = fields.get("timeout_minutes", rule.timeout_minutes)
        after = _facts(rule)
        if before != after:
            rule.updated_at = at
            rule.save(update_fields=["role", "quorum", "timeout_minutes", "updated_at"])
            _record(rule, "updated", by.actor, at, old=before, new=after)
    return rule


def remove_rule(*, rule_id: UUID, by: Principal, at: datetime) -> None:
    """Have the next less specific rule count from now on. Raises NotFound."""
    with transaction.atomic():
        rule = _hold(rule_id)
        rule.removed_at = at
        rule.save(update_fields=["removed_at"])
        _record(rule, "removed", by.actor, at, old=_facts(rule))


def _hold(rule_id: UUID) -> ApprovalRule:
    rows = ApprovalRule.objects.select_for_update(of=("self",))
    rows = rows.select_related("role", "agent", "project")
    rule = rows.filter(id=rule_id, removed_at=None).first()
    if rule is None:
        raise NotFound("There is no such rule.")
    return rule


def _scope(subject_type: str, agent: str, tool: str, project: str) -> dict[str, Any]:
    """What a rule is for; raises Invalid for what there isn't."""
    if subject_type and registry.find_subject(subject_type) is None:
        known = ", ".join(name for name, _ in registry.list_subjects())
        raise Invalid.of("subject_type", f"Use one of: {known}.")
    if agent and project:
        raise Invalid.of("project", "Name an agent or a project, not both.")
    if tool and not agent:
        raise Invalid.of("agent", "Name the agent whose tool it is.")
    return {
        "subject_type": subject_type,
        "agent_id": _agent_id(agent, tool) if agent else None,
        "tool": tool,
        "project": _project(project) if project else None,
    }


def _agent_id(agent: str, tool: str) -> UUID:
    try:
        found = find_agent_id(agent)
    except NotFound:
        found = None
    if found is None:
        raise Invalid.of("agent", "There is no such agent.")
    if tool and find_agent_id(agent, tool=tool) is None:
        raise Invalid.of("tool", "The agent has no such tool.")
    return found


def _project(ref: str) -> Any:
    try:
        return get_project(ref)
    except NotFound as error:
        raise Invalid.of("project", "There is no such project.") from error


def _deciding_role(slug: str) -> Role | None:
    """The role that decides, held so that it keeps the permission until the commit; raises Invalid
    for one that may not decide anything.
    """
    if not slug:
        return None
    role = Role.objects.select_for_update(no_key=True).filter(slug=slug, deleted_at=None).first()
    if role is None:
        raise Invalid.of("role", "There is no such role.")
    if not RolePermission.objects.filter(role=role, permission__code=DECIDE).exists():
        raise Invalid.of("role", f"{role.name} lacks the permission {DECIDE}.")
    return role


def _facts(rule: ApprovalRule) -> dict[str, Any]:
    return {
        "subject_type": rule.subject_type,
        "agent": rule.agent and rule.agent.slug,
        "tool": rule.tool,
        "project": rule.project and rule.project.slug,
        "quorum": rule.quorum,
        "role": rule.role and rule.role.slug,
        "timeout_minutes": rule.timeout_minutes,
    }
