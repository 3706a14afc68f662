"""Policies made by the services, and decisions as `admit` writes them, the short way."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.approvals.models import Approval
from apps.common.ids import public_id
from apps.common.json import Object
from apps.policies.engine.samples import INVOKE
from apps.policies.models import (
    Attachment,
    Backtest,
    Decision,
    DecisionInput,
    OrgPolicy,
    Policy,
)
from apps.policies.places import find_place
from apps.policies.services import activating, attaching, policies
from apps.policies.services.policies import digest_of
from apps.runs.models import Run
from apps.tenants import keys
from apps.trust.canonical import digest
from tests.orgs.conftest import AT

ALLOW = "package mandate\n\ndefault allow := true\n"
DENY = 'package mandate\n\ndefault allow := false\n\ndeny contains "never" if true\n'
FLAWED = "package mandate\n\ndefault allow := true\n\nallow if {\n\trole == 1\n}\n"
TESTS = """package mandate_test

import data.mandate

test_it_allows if mandate.allow with input as {}
"""


def make_policy(owner: Any, *, scope: str = "", ref: str = "", **fields: Any) -> OrgPolicy:
    """A draft that allows everything unless told otherwise; attached if a scope is given."""
    given = {"name": "Guard", "rego_text": ALLOW, **fields}
    place = find_place(scope, ref) if scope else None
    return policies.create_policy(**given, attach=place, **about(owner))


def activate(owner: Any, version: OrgPolicy) -> Any:
    return activating.activate_policy(policy_id=version.policy_id, **about(owner))


def attach(owner: Any, version: OrgPolicy, scope: str, ref: str = "") -> attaching.Attached:
    return attaching.attach_policy(
        policy_id=version.policy_id, place=find_place(scope, ref), **about(owner)
    )


def detach(owner: Any, version: OrgPolicy, scope: str) -> Approval | None:
    row = Attachment.objects.get(policy=version.policy_id, scope=scope)
    return attaching.detach_policy(
        policy_id=version.policy_id, attachment_id=row.id, **about(owner)
    )


def retire(owner: Any, version: OrgPolicy) -> Approval | None:
    return policies.retire_policy(policy_id=version.policy_id, **about(owner))


def about(owner: Any) -> dict[str, Any]:
    """Who changes something, and when."""
    return {"by_member_id": owner.member_id, "actor": owner.actor, "at": AT}


def said(version: OrgPolicy, result: str, *reasons: str) -> Object:
    """What a version said, as a decision keeps it."""
    return {
        "id": public_id("plv", version.id),
        "policy": public_id("pol", version.policy_id),
        "name": version.name,
        "version": version.version,
        "result": result,
        "reasons": list(reasons),
    }


def decide(run: Any, *, document: Object | None = INVOKE, **fields: Any) -> Decision:
    """A decision about a run, with its document unless that is None."""
    run = Run.objects.get(id=run.id)
    facts: dict[str, Any] = {
        "agent_id": run.agent_id,
        "tool": run.tool,
        "action": "agent.invoke",
        "result": "allow",
        "bundle": 1,
        "input_digest": digest(document),
        "micros": 90,
        "caller_type": run.caller_type,
        "caller_id": run.caller_id,
        "caller_label": run.caller_label,
        "at": AT,
    }
    made = Decision.objects.create(run=run, **{**facts, **fields})
    if document is not None:
        DecisionInput.objects.create(decision=made, document=document, at=made.at)
    return made


def govern(agent: Any, run: Any, *, by: Any) -> dict[str, str]:
    """One of each thing of policies, by its public id: for tests over all addresses."""
    version = make_policy(by, scope="agent", ref=agent.slug, tests=TESTS)
    attachment = Attachment.objects.get(policy=version.policy_id)
    backtest = Backtest.objects.create(
        rego_text=ALLOW,
        days=1,
        status="done",
        finished_at=AT,
        created_at=AT,
        worked_at=AT,
        created_by_id=by.member_id,
    )
    return {
        "policy": public_id("pol", version.policy_id),
        "attachment": public_id("pla", attachment.id),
        "decision": public_id("dec", decide(run, policies=[said(version, "allow")]).id),
        "backtest": public_id("pbt", backtest.id),
    }


def furnish_policies(org: Any, pages: Any) -> dict[str, str]:
    """A policy with a second version on its way, one whose draft shadows, and a decision; written
    past the services, so that the audit log has not more for it.
    """
    with keys.holding(org.schema, org.id):
        guard, shadowed = (
            Policy.objects.create(name=name, version=version, created_at=AT)
            for name, version in (("Guard", 2), ("Shadow", 1))
        )
        first = _version(guard, 1, status="retired", retired_at=AT)
        _version(guard, 2, purpose="Lets all pass.", tests=TESTS)
        _version(shadowed, 1, shadow_since=AT)
        attachment = Attachment.objects.create(policy=guard, scope="org", created_at=AT)
        run = Run.objects.order_by("created_at").last()
        decision = decide(run, policies=[said(first, "allow")], at=timezone.now())
    policy = public_id("pol", guard.id)
    return {
        **{name: policy for name in pages if name.startswith("policies:")},
        "policies:unshadow": public_id("pol", shadowed.id),
        "policies:decision": public_id("dec", decision.id),
        "policy_versions": "1..2",
        "policy_attachment": public_id("pla", attachment.id),
    }


def _version(policy: Policy, number: int, **fields: Any) -> OrgPolicy:
    return OrgPolicy.objects.create(
        policy=policy,
        version=number,
        name=policy.name,
        rego_text=ALLOW,
        digest=digest_of(ALLOW),
        created_at=AT,
        **fields,
    )
