"""What every change of policies has in common: one lock, the bundle's number, and the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from apps.common.errors import NotFound, PreconditionFailed
from apps.orgs.services.recording import recorder
from apps.policies.errors import PolicyStateConflict
from apps.policies.models import OrgPolicy, Policy, PolicyHead, PolicyStatus
from apps.policies.selectors import POLICY

record: Final = recorder("policy", POLICY, app="policies")


def hold_head() -> PolicyHead:
    """Hold the org's policies against everybody who would change them or be admitted by them.

    The first lock of every change here; no agent's row is locked after it.
    """
    held = PolicyHead.objects.select_for_update().first()
    return held or PolicyHead.objects.create()


def count_up(head: PolicyHead) -> None:
    """Say that something changed by which calls are decided: every process reads it anew."""
    head.bundle += 1
    head.save(update_fields=["bundle"])


def open_policy(policy_id: UUID) -> Policy:
    """A policy that can be changed, under the head's lock.

    Raises NotFound, PolicyStateConflict for a retired one.
    """
    return _open(Policy.objects.select_for_update(), policy_id)


def read_policy(policy_id: UUID) -> Policy:
    """The same, held by nobody: it may be another when it is opened."""
    return _open(Policy.objects.all(), policy_id)


def check_read(policy: Policy, read_version: int | None) -> None:
    """Raises PreconditionFailed if a version was named, and the newest is another."""
    if read_version not in (None, policy.version):
        raise PreconditionFailed(f"Version {policy.version} was written meanwhile. Read it.")


def version_of(policy: Policy, *statuses: PolicyStatus) -> OrgPolicy | None:
    """The policy's version in one of these states; there is at most one."""
    return OrgPolicy.objects.filter(policy=policy, status__in=statuses).first()


def newest_of(policy: Policy) -> OrgPolicy:
    """The policy's newest version."""
    return OrgPolicy.objects.get(policy=policy, version=policy.version)


def facts_of(version: OrgPolicy) -> dict[str, Any]:
    """A version for the record; its text by digest, for the version has it for good."""
    return {
        "name": version.name,
        "version": version.version,
        "status": str(version.status),
        "rego_digest": version.digest,
    }


def save_move(version: OrgPolicy, *fields: str) -> None:
    """Write a version that has moved."""
    moved: Sequence[str] = ("status", "shadow_since", *fields)
    version.save(update_fields=[*moved])


def _open(rows: QuerySet[Policy], policy_id: UUID) -> Policy:
    found = rows.filter(id=policy_id).first()
    if found is None:
        raise NotFound("There is no such policy.")
    if found.retired_at is not None:
        raise PolicyStateConflict("A retired policy stays as it was.")
    return found
