"""Plans: how much an org may have, and who gave it which.

Nothing is taken away when a plan becomes smaller: what is there stays, and only more is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection, transaction

from apps.common.actors import Actor
from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.tenants import apex_log, keys
from apps.tenants.errors import NoTenant, PlanLimit
from apps.tenants.models import Org, Plan
from apps.tenants.selectors import OrgRef, get_plan_of, ref

Of = Literal["members", "agents"]
REASON_MAX: Final = 500
_WITH_ROWS: Final = (Org.State.ACTIVE, Org.State.SUSPENDED, Org.State.CLOSING)
_FIELDS: Final = ("code", "name", "member_limit", "agent_limit")


def hold_room(of: Of, *, count: Callable[[], int]) -> None:
    """Refuse to go beyond the plan of the org whose keys are held; before one more is added.

    Call it first in the transaction that adds one: of two at once the second waits for the first
    and counts what it has added. An org without a limit pays one look and waits for nobody.

    Raises PlanLimit.
    """
    org_id = keys.current().org_id
    if org_id is None:
        raise NoTenant("room is held for an org, and none is unlocked")
    plan = get_plan_of(org_id)
    limit = plan.limit_of(of)
    if limit is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"plan:{org_id}:{of}"]
        )
    if count() >= limit:
        raise PlanLimit(plan=plan.name, of=of, limit=limit)


def change_plan(*, org_id: UUID, plan_id: UUID, reason: str, actor: Actor, at: datetime) -> OrgRef:
    """Put an org on another plan, on record on the apex and with the org.

    Raises Invalid for the plan that it has, and for a reason that says nothing or too much.
    """
    if not 1 <= len(reason.strip()) <= REASON_MAX:
        raise Invalid.of("reason", f"Say why, in 1 to {REASON_MAX} characters.")
    with keys.holding(), transaction.atomic():
        org = Org.objects.select_for_update(of=("self",)).select_related("plan").get(id=org_id)
        old, new = org.plan, Plan.objects.get(id=plan_id)
        if old == new:
            raise Invalid.of("plan", f"{org.slug} is on this plan already.")
        org.plan = new
        org.save(update_fields=["plan"])
        apex_log.record(
            actor=actor,
            action="tenants.org.plan_changed",
            subject_type="org",
            subject_id=public_id("org", org.id),
            at=at,
            new={"slug": org.slug, "plan": new.code, "was": old.code, "reason": reason.strip()},
            also_in=ref(org) if org.state in _WITH_ROWS else None,
        )
    return ref(org)


def save_plan(plan: Plan, *, actor: Actor, at: datetime) -> None:
    """Write a plan that is new or was changed; what it allows is on record on the apex."""
    with transaction.atomic():
        verb = "added" if plan._state.adding else "changed"
        plan.save()
        facts = {name: _said(getattr(plan, name)) for name in _FIELDS}
        _record(plan, verb, actor, at, facts)


def make_default(*, plan_id: UUID, actor: Actor, at: datetime) -> Plan:
    """Have new orgs start on this plan; those that are there keep theirs."""
    with transaction.atomic():
        plans = {plan.id: plan for plan in Plan.objects.select_for_update().order_by("id")}
        plan = plans[plan_id]
        if not plan.is_default:
            Plan.objects.filter(is_default=True).update(is_default=False)
            plan.is_default = True
            plan.save(update_fields=["is_default"])
            _record(plan, "made_default", actor, at, {"code": plan.code})
    return plan


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def _record(plan: Plan, verb: str, actor: Actor, at: datetime, facts: dict[str, str]) -> None:
    apex_log.record(
        actor=actor,
        action=f"tenants.plan.{verb}",
        subject_type="plan",
        subject_id=plan.code,
        at=at,
        new=facts,
    )
