"""Where a policy counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.common.actors import Actor
from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.policies.errors import AttachmentExists
from apps.policies.models import Attachment, OrgPolicy, Policy, PolicyStatus
from apps.policies.places import Place, find_place
from apps.policies.selectors import ATTACHING, ATTACHMENT, list_attachments, place_of
from apps.policies.services.changing import hold_head, open_policy, version_of
from apps.policies.services.seconding import (
    Change,
    Facts,
    Matter,
    make_or_ask,
    payload_about,
)


@dataclass(frozen=True, slots=True)
class Attached:
    """What came of asking for it: the attachment, or the approval that it waits for."""

    attachment: Attachment | None
    approval: Approval | None = None


def attach_policy(
    *, policy_id: UUID, place: Place, by_member_id: UUID | None, actor: Actor, at: datetime
) -> Attached:
    """Have a policy count for every call within a place, from the commit on; or, where it decides
    already and the org wants two people for that, ask for the second.

    Raises NotFound, PolicyStateConflict for a retired one, AttachmentExists.
    """
    with transaction.atomic():
        head, policy = hold_head(), open_policy(policy_id)
        row = attachment_at(policy, place)
        change = _attaching(policy, place, row)
        approval = make_or_ask(change, head, by_member_id, actor, at)
    return Attached(None if approval else row, approval)


def detach_policy(
    *,
    policy_id: UUID,
    attachment_id: UUID,
    by_member_id: UUID | None,
    actor: Actor,
    at: datetime,
) -> Approval | None:
    """Have a policy no longer count there, from the commit on; or ask for the second person, and
    give the approval that it waits for.

    Raises NotFound, PolicyStateConflict for a retired one.
    """
    with transaction.atomic():
        head = hold_head()
        change = _detaching(open_policy(policy_id), attachment_id)
        return make_or_ask(change, head, by_member_id, actor, at)


def find_attaching(approval: Approval) -> Change:
    """The attachment that was asked for; a place that is there no more is Invalid."""
    policy, wanted = open_policy(approval.subject_id), approval.payload["place"]
    place = find_place(wanted["scope"], wanted["name"])
    return _attaching(policy, place, attachment_at(policy, place))


def find_detaching(approval: Approval) -> Change:
    """The detachment that was asked for; raises NotFound where it is detached already."""
    attachment_id = parse_id(ATTACHMENT, approval.payload["attachment"])
    return _detaching(open_policy(approval.subject_id), attachment_id)


def attachment_at(policy: Policy, place: Place) -> Attachment:
    """A policy's attachment to a place, not kept yet."""
    return Attachment(
        policy=policy,
        scope=place.scope,
        project_id=place.project_id,
        agent_id=place.agent_id,
        tool=place.tool,
    )


def _attaching(policy: Policy, place: Place, row: Attachment) -> Change:
    if place in [place_of(there) for there in list_attachments(policy.id)]:
        raise AttachmentExists(f"It is attached to {place.label}.")

    def make(by_member_id: UUID | None, at: datetime) -> tuple[Facts, Facts]:
        row.created_at = at
        row.save(force_insert=True)
        return None, {"name": policy.name, "to": place.label}

    active = version_of(policy, PolicyStatus.ACTIVE)
    matter = _matter("attach", f"to {place.label}", policy, active, place) if active else None
    return Change(policy, "attached", make, matter)


def _detaching(policy: Policy, attachment_id: UUID) -> Change:
    row = list_attachments(policy.id).filter(id=attachment_id).first()
    if row is None:
        raise NotFound("It is not attached there.")
    place = place_of(row)
    ref = public_id(ATTACHMENT, row.id)

    def make(by_member_id: UUID | None, at: datetime) -> tuple[Facts, Facts]:
        row.delete()
        return {"name": policy.name, "from": place.label}, None

    active = version_of(policy, PolicyStatus.ACTIVE)
    matter = None
    if active is not None:
        label = f"from {place.label}"
        matter = _matter("detach", label, policy, active, place, attachment=ref)
    return Change(policy, "detached", make, matter)


def _matter(
    verb: str, where: str, policy: Policy, active: OrgPolicy, place: Place, **more: str
) -> Matter:
    return Matter(
        subject_type=ATTACHING,
        subject_id=policy.id,
        title=f"{verb.capitalize()} {active.name} {where}",
        reason=f"{verb.capitalize()}ing an active policy needs a second person here.",
        payload={
            **payload_about(f"policy.{verb}", policy, active),
            "place": place.as_json(),
            **more,
        },
        evidence={"rego_text": active.rego_text},
    )
