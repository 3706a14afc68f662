"""Changes of what decides: made at once, or, where the org wants two people, once another agrees.

A change is found by how things stand, and so is the payload that a second person is asked. What has
changed meanwhile has another digest: the approval covers nothing, and nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.approvals.services.requests import cancel_these, consume, hold, request_approval
from apps.common.actors import Actor, ActorType
from apps.common.errors import Conflict, Invalid, NotFound
from apps.common.ids import public_id
from apps.common.json import Object
from apps.orgs.selectors import list_members_who_may
from apps.orgs.services.recording import Record
from apps.policies.errors import PolicyStateConflict
from apps.policies.models import OrgPolicy, Policy, PolicyHead
from apps.policies.selectors import POLICY, find_open_request, list_requests_about
from apps.policies.services.changing import count_up, hold_head
from apps.policies.services.changing import record as record_policy
from apps.trust.canonical import digest

Facts = dict[str, Any] | None
Make = Callable[[UUID | None, datetime], tuple[Facts, Facts]]
OVERTAKEN: Final = (Conflict, NotFound, Invalid)
"""What finding a change or using its approval raises where it can't happen any more."""


@dataclass(frozen=True, slots=True)
class Matter:
    """What a second person is asked: whether exactly `payload` may happen."""

    subject_type: str
    subject_id: UUID
    title: str
    reason: str
    payload: Object
    evidence: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a policy, or of the settings of all, as it would happen now, found under the
    head's lock.

    `make` makes it for a member and gives what was and what is, for the record. Without a `matter`
    it changes nothing that decides, and whoever may make it makes it alone.
    """

    row: Policy | PolicyHead
    verb: str
    make: Make
    matter: Matter | None
    record: Record = record_policy


Finder = Callable[[Approval], Change]
_finders: Final[dict[str, Finder]] = {}


def register(action: str, finder: Finder) -> None:
    """Have the change that approvals of this action are for found by `finder`."""
    _finders[action] = finder


def make_or_ask(
    change: Change, head: PolicyHead, by_member_id: UUID | None, actor: Actor, at: datetime
) -> Approval | None:
    """Make a change, or ask for the second person; gives the approval that it then waits for."""
    if head.two_person and change.matter is not None:
        return _ask_second(change.matter, by_member_id, actor, at)
    old, new = change.make(by_member_id, at)
    count_up(head)
    take_back_overtaken(change.row, at)
    change.record(change.row, change.verb, actor, at, old=old, new=new)
    return None


def carry_out(*, approval: Approval, at: datetime) -> None:
    """Use an approval: make the change that it was given for, if all is as it was then, and who
    asked may still make it.

    Within a transaction of its own. Raises one of OVERTAKEN if it isn't. The request's own row is
    locked first, since other requests are put on record before it is used.
    """
    with transaction.atomic():
        head = hold_head()
        hold(approval.id)
        _check_asker(approval)
        change = _find(approval)
        if change.matter is None:
            raise PolicyStateConflict("No version of it decides any more.")
        old, new = change.make(approval.human_id, at)
        count_up(head)
        take_back_overtaken(change.row, at, besides=approval.id)
        _use_approval(approval, change.matter.payload, at)
        change.record(change.row, change.verb, _requester_of(approval), at, old=old, new=new)


def take_back_overtaken(
    row: Policy | PolicyHead, at: datetime, *, besides: UUID | None = None
) -> None:
    """Ask nobody any more about what can't happen as it was asked: approving it would do nothing.

    Within the transaction of the change that overtook it, before that is put on record.
    """
    asked = [one for one in list_requests_about(row.id) if one.id != besides]
    over = [one.id for one in asked if not _covers(one)]
    if over:
        cancel_these(approval_ids=over, at=at)


def payload_about(action: str, policy: Policy, version: OrgPolicy) -> Object:
    """What each payload says: the act, the policy, and the version that it is about."""
    return {
        "action": action,
        "policy": public_id(POLICY, policy.id),
        "name": version.name,
        "version": version.version,
        "rego_digest": version.digest,
    }


def _ask_second(matter: Matter, by_member_id: UUID | None, actor: Actor, at: datetime) -> Approval:
    """The request for exactly this that is open, or a new one."""
    asked = find_open_request(matter.subject_type, matter.subject_id, digest(matter.payload))
    return asked or request_approval(
        subject_type=matter.subject_type,
        subject_id=matter.subject_id,
        title=matter.title,
        payload=matter.payload,
        policy_version=None,
        manifest_digest=None,
        requester=actor,
        human_id=by_member_id,
        reasons=[matter.reason],
        evidence=matter.evidence,
        expires_at=None,
        at=at,
    )


def _use_approval(approval: Approval, payload: Object, at: datetime) -> None:
    """Use up an approval for what is about to be committed. Raises ApprovalRefused."""
    consume(
        approval_id=approval.id,
        payload_digest=digest(payload),
        policy_version=None,
        manifest_digest=None,
        at=at,
    )


def _requester_of(approval: Approval) -> Actor:
    """Who asked: the change is theirs."""
    kind = ActorType(approval.requester_type)
    return Actor(kind, approval.requester_id, approval.requester_label)


def _check_asker(approval: Approval) -> None:
    """Raises PolicyStateConflict if who asked has left, or may not make such a change any more."""
    may = list_members_who_may("policies.activate")
    if approval.human_id is None or not may.filter(id=approval.human_id).exists():
        raise PolicyStateConflict("Who asked for it may no longer change what decides.")


def _find(approval: Approval) -> Change:
    return _finders[str(approval.payload["action"])](approval)


def _covers(approval: Approval) -> bool:
    """Whether what would happen now is what a request asks for."""
    try:
        matter = _find(approval).matter
    except OVERTAKEN:
        return False
    return matter is not None and digest(matter.payload) == bytes(approval.payload_digest)
