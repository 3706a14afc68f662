"""A version's way from a draft to what decides: its tests, a second person, and the switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.approvals.services.requests import consume, request_approval
from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id
from apps.common.json import Object
from apps.policies.engine import get_engine
from apps.policies.engine.types import TestOutcome
from apps.policies.errors import PolicyStateConflict, PolicyTestsFailed
from apps.policies.models import OrgPolicy, Policy, PolicyHead, PolicyStatus
from apps.policies.selectors import (
    ACTIVATION,
    POLICY,
    find_open_request,
    label_of,
    list_attachments,
)
from apps.policies.services.changing import (
    count_up,
    facts_of,
    hold_head,
    open_policy,
    record,
    save_move,
    version_of,
)
from apps.trust.canonical import digest

OPEN = (PolicyStatus.DRAFT, PolicyStatus.TESTED)


@dataclass(frozen=True, slots=True)
class Activation:
    """What came of asking for it: the version, and the approval that it waits for, if any."""

    version: OrgPolicy
    approval: Approval | None = None


def run_tests(version: OrgPolicy) -> Sequence[TestOutcome]:
    """Run a version's own tests; none for a version that has none."""
    if not version.tests:
        return ()
    return get_engine().run_tests(version.rego_text, version.tests)


def check_tests(*, policy_id: UUID, actor: Actor, at: datetime) -> Sequence[TestOutcome]:
    """Run the tests of the version that is on its way; if all pass, it is tested.

    Raises NotFound, PolicyStateConflict where there is none.
    """
    version = _on_its_way(policy_id)
    outcomes = run_tests(version)
    if all(outcome.passed for outcome in outcomes):
        with transaction.atomic():
            hold_head()
            policy, found = _still(policy_id, version)
            _pass(policy, found, actor, at)
    return outcomes


def activate_policy(
    *, policy_id: UUID, by_member_id: UUID, actor: Actor, at: datetime
) -> Activation:
    """Have the version that is on its way decide from the commit on, in the place of the active
    one; or, where the org wants two people for that, ask for the second.

    Its tests run first. Raises NotFound, PolicyStateConflict, PolicyTestsFailed.
    """
    version = _on_its_way(policy_id)
    outcomes = run_tests(version) if version.status == PolicyStatus.DRAFT else ()
    if not all(outcome.passed for outcome in outcomes):
        raise PolicyTestsFailed.of(outcomes)
    with transaction.atomic():
        head = hold_head()
        policy, found = _still(policy_id, version)
        if head.two_person:
            _pass(policy, found, actor, at)
            return _ask_for_second(policy, found, by_member_id, actor, at)
        if found.status == PolicyStatus.DRAFT:
            found.pass_tests(at=at)
        before = _switch(head, policy, found, by_member_id, at)
        record(policy, "activated", actor, at, old=before, new=facts_of(found))
    return Activation(found)


def activate_approved(*, approval: Approval, at: datetime) -> None:
    """Use an approval: activate the version that it was given for, if all is as it was then.

    Within a transaction of its own. Raises ApprovalRefused, and PolicyStateConflict if the version
    is no longer on its way.
    """
    with transaction.atomic():
        head = hold_head()
        waiting = OrgPolicy.objects.filter(id=approval.subject_id).first()
        if waiting is None or waiting.status != PolicyStatus.TESTED:
            raise PolicyStateConflict("This version is no longer on its way.")
        policy = open_policy(waiting.policy_id)
        found = OrgPolicy.objects.select_for_update().get(id=waiting.id)
        requester = Actor(
            ActorType(approval.requester_type), approval.requester_id, approval.requester_label
        )
        payload = payload_of(policy, found)
        before = _switch(head, policy, found, approval.human_id, at)
        consume(
            approval_id=approval.id,
            payload_digest=digest(payload),
            policy_version=None,
            manifest_digest=None,
            at=at,
        )
        record(policy, "activated", requester, at, old=before, new=facts_of(found))


def shadow_policy(*, policy_id: UUID, on: bool, actor: Actor, at: datetime) -> OrgPolicy:
    """Begin or end evaluating the version that is on its way beside what decides.

    Raises NotFound, PolicyStateConflict where there is none.
    """
    version = _on_its_way(policy_id)
    with transaction.atomic():
        head = hold_head()
        policy, found = _still(policy_id, version)
        if (found.shadow_since is not None) is on:
            return found
        found.shadow_since = at if on else None
        save_move(found)
        count_up(head)
        verb = "shadow_started" if on else "shadow_ended"
        record(policy, verb, actor, at, new=facts_of(found))
    return found


def payload_of(policy: Policy, version: OrgPolicy) -> Object:
    """What a second person is asked: exactly this text, in place of that, for these calls."""
    active = version_of(policy, PolicyStatus.ACTIVE)
    return {
        "action": "policy.activate",
        "policy": public_id(POLICY, policy.id),
        "name": version.name,
        "version": version.version,
        "rego_digest": version.digest,
        "replaces": active.version if active else None,
        "attached": sorted(label_of(row) for row in list_attachments(policy.id)),
    }


def _on_its_way(policy_id: UUID) -> OrgPolicy:
    policy = open_policy_unlocked(policy_id)
    found = version_of(policy, *OPEN)
    if found is None:
        raise PolicyStateConflict("Its newest version is active. Write the next one.")
    return found


def open_policy_unlocked(policy_id: UUID) -> Policy:
    """The policy, if it can be changed; nothing is held afterwards."""
    with transaction.atomic():
        return open_policy(policy_id)


def _still(policy_id: UUID, version: OrgPolicy) -> tuple[Policy, OrgPolicy]:
    """The same version under the lock; raises PolicyStateConflict if it was overtaken."""
    policy = open_policy(policy_id)
    found = OrgPolicy.objects.select_for_update().get(id=version.id)
    if found.status not in OPEN:
        raise PolicyStateConflict("Another version was written meanwhile. Read it.")
    return policy, found


def _pass(policy: Policy, version: OrgPolicy, actor: Actor, at: datetime) -> None:
    if version.status == PolicyStatus.DRAFT:
        version.pass_tests(at=at)
        save_move(version, "tested_at")
        record(policy, "tested", actor, at, new=facts_of(version))


def _switch(
    head: PolicyHead,
    policy: Policy,
    version: OrgPolicy,
    by_member_id: UUID | None,
    at: datetime,
) -> Object | None:
    """Put a tested version in the place of the active one; gives that, for the record."""
    before = version_of(policy, PolicyStatus.ACTIVE)
    old = facts_of(before) if before else None
    if before is not None:
        before.retire(at=at)
        save_move(before, "retired_at")
    version.activate(by_id=by_member_id, at=at)
    save_move(version, "tested_at", "activated_at", "activated_by")
    count_up(head)
    return old


def _ask_for_second(
    policy: Policy, version: OrgPolicy, by_member_id: UUID, actor: Actor, at: datetime
) -> Activation:
    approval = find_open_request(ACTIVATION, version.id) or request_approval(
        subject_type=ACTIVATION,
        subject_id=version.id,
        title=f"Activate {version.name}, version {version.version}",
        payload=payload_of(policy, version),
        policy_version=None,
        manifest_digest=None,
        requester=actor,
        human_id=by_member_id,
        reasons=["Activating a policy needs a second person here."],
        evidence={"rego_text": version.rego_text},
        expires_at=None,
        at=at,
    )
    return Activation(version, approval)
