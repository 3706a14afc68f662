"""A version's way from a draft to what decides: its tests, a second person, and the switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.common.actors import Actor
from apps.policies.engine import get_engine
from apps.policies.engine.types import TestOutcome
from apps.policies.errors import PolicyStateConflict, PolicyTestsFailed
from apps.policies.models import OrgPolicy, Policy, PolicyStatus
from apps.policies.selectors import ACTIVATION, label_of, list_attachments
from apps.policies.services.changing import (
    check_read,
    count_up,
    facts_of,
    hold_head,
    open_policy,
    read_policy,
    record,
    save_move,
    version_of,
)
from apps.policies.services.seconding import (
    Change,
    Facts,
    Matter,
    make_or_ask,
    payload_about,
)


@dataclass(frozen=True, slots=True)
class Activation:
    """What came of asking for it: the version, and the approval that it waits for, if any."""

    version: OrgPolicy
    approval: Approval | None = None


def run_tests(version: OrgPolicy) -> Sequence[TestOutcome]:
    """Run a version's own tests, if it has some. Raises PolicyEngineUnavailable."""
    if not version.tests:
        return ()
    return get_engine().run_tests(version.rego_text, version.tests)


def check_tests(*, policy_id: UUID, actor: Actor, at: datetime) -> Sequence[TestOutcome]:
    """Run the tests of the version that is on its way; if all pass, it is tested.

    Raises NotFound, PolicyStateConflict where there is none, PolicyEngineUnavailable.
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
    *,
    policy_id: UUID,
    read_version: int | None = None,
    by_member_id: UUID,
    actor: Actor,
    at: datetime,
) -> Activation:
    """Have the version that is on its way decide from the commit on, in the place of the active
    one; or, where the org wants two people for that, ask for the second.

    Its tests run first. Raises NotFound, PolicyStateConflict, PolicyTestsFailed,
    PolicyEngineUnavailable, and PreconditionFailed if the newest isn't the version that was read.
    """
    version = _on_its_way(policy_id, read_version)
    outcomes = run_tests(version) if version.status == PolicyStatus.DRAFT else ()
    if not all(outcome.passed for outcome in outcomes):
        raise PolicyTestsFailed.of(outcomes)
    with transaction.atomic():
        head = hold_head()
        policy, found = _still(policy_id, version)
        is_new = found.status == PolicyStatus.DRAFT
        if is_new:
            found.pass_tests(at=at)
        change = _activation(policy, found)
        approval = make_or_ask(change, head, by_member_id, actor, at)
        if approval is not None and is_new:
            _keep_pass(policy, found, actor, at)
    return Activation(found, approval)


def find_activation(approval: Approval) -> Change:
    """The activation that was asked for; raises PolicyStateConflict if the version is no longer on
    its way.
    """
    waiting = OrgPolicy.objects.filter(id=approval.subject_id).first()
    if waiting is None or waiting.status != PolicyStatus.TESTED:
        raise PolicyStateConflict("This version is no longer on its way.")
    policy = open_policy(waiting.policy_id)
    return _activation(policy, OrgPolicy.objects.select_for_update().get(id=waiting.id))


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


def _on_its_way(policy_id: UUID, read_version: int | None = None) -> OrgPolicy:
    """The version that waits; `_still` finds out whether another is written from here on."""
    policy = read_policy(policy_id)
    check_read(policy, read_version)
    found = version_of(policy, *OrgPolicy.OPEN)
    if found is None:
        raise PolicyStateConflict("Its newest version is active. Write the next one.")
    return found


def _still(policy_id: UUID, version: OrgPolicy) -> tuple[Policy, OrgPolicy]:
    """The same version under the lock; raises PolicyStateConflict if it was overtaken."""
    policy = open_policy(policy_id)
    found = OrgPolicy.objects.select_for_update().get(id=version.id)
    if found.status not in OrgPolicy.OPEN:
        raise PolicyStateConflict("Another version was written meanwhile. Read it.")
    return policy, found


def _pass(policy: Policy, version: OrgPolicy, actor: Actor, at: datetime) -> None:
    if version.status == PolicyStatus.DRAFT:
        version.pass_tests(at=at)
        _keep_pass(policy, version, actor, at)


def _keep_pass(policy: Policy, version: OrgPolicy, actor: Actor, at: datetime) -> None:
    save_move(version, "tested_at")
    record(policy, "tested", actor, at, new=facts_of(version))


def _activation(policy: Policy, version: OrgPolicy) -> Change:
    """Putting a tested version in the place of the active one: exactly this text, instead of that,
    for these calls.
    """
    active = version_of(policy, PolicyStatus.ACTIVE)

    def make(by_member_id: UUID | None, at: datetime) -> tuple[Facts, Facts]:
        old = facts_of(active) if active else None
        if active is not None:
            active.retire(at=at)
            save_move(active, "retired_at")
        version.activate(by_id=by_member_id, at=at)
        save_move(version, "tested_at", "activated_at", "activated_by")
        return old, facts_of(version)

    matter = Matter(
        subject_type=ACTIVATION,
        subject_id=version.id,
        title=f"Activate {version.name}, version {version.version}",
        reason="Activating a policy needs a second person here.",
        payload={
            **payload_about("policy.activate", policy, version),
            "replaces": active.version if active else None,
            "attached": sorted(label_of(row) for row in list_attachments(policy.id)),
        },
        evidence={"rego_text": version.rego_text},
    )
    return Change(policy, "activated", make, matter)
