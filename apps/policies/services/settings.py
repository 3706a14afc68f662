"""What an org says of its policies as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.approvals.services.requests import consume, request_approval
from apps.common.actors import Actor, ActorType
from apps.common.errors import Invalid
from apps.common.json import Object
from apps.policies.models import KEEP_INPUTS_MAX, DefaultAnswer, PolicyHead
from apps.policies.selectors import SETTINGS, find_open_request
from apps.policies.services.changing import count_up, hold_head
from apps.trust.canonical import digest
from apps.trust.services import record_event

_FIELDS: Final[tuple[str, ...]] = ("default_answer", "keep_inputs_days", "two_person")


@dataclass(frozen=True, slots=True)
class Change:
    """The settings after a change, and the approval that the rest of it waits for, if any."""

    head: PolicyHead
    approval: Approval | None = None


def change_settings(
    *, fields: dict[str, Any], by_member_id: UUID, actor: Actor, at: datetime
) -> Change:
    """Change what is given. That activations need two people is ended by two people only.

    Raises Invalid.
    """
    _check(fields)
    with transaction.atomic():
        head = hold_head()
        ends = head.two_person and fields.get("two_person") is False
        given = {name: value for name, value in fields.items() if name != "two_person" or not ends}
        changed = _apply(head, given)
        approval = _ask(head, by_member_id, actor, at) if ends else None
        if changed:
            _record(head, changed, actor, at)
    return Change(head, approval)


def end_two_person(*, approval: Approval, at: datetime) -> None:
    """Use an approval: from the commit on one person activates alone. Raises ApprovalRefused."""
    with transaction.atomic():
        head = hold_head()
        changed = _apply(head, {"two_person": False})
        consume(
            approval_id=approval.id,
            payload_digest=digest(_payload()),
            policy_version=None,
            manifest_digest=None,
            at=at,
        )
        who = ActorType(approval.requester_type)
        actor = Actor(who, approval.requester_id, approval.requester_label)
        _record(head, changed, actor, at)


def _check(fields: dict[str, Any]) -> None:
    answer, days = fields.get("default_answer"), fields.get("keep_inputs_days")
    if answer is not None and answer not in DefaultAnswer.values:
        raise Invalid.of("default_answer", f"Use one of: {', '.join(DefaultAnswer.values)}.")
    if days is not None and not 1 <= days <= KEEP_INPUTS_MAX:
        raise Invalid.of("keep_inputs_days", f"Use 1 to {KEEP_INPUTS_MAX} days.")


def _apply(head: PolicyHead, fields: dict[str, Any]) -> dict[str, Any]:
    """Write what differs; gives what it was."""
    present: dict[str, Any] = {name: getattr(head, name) for name in _FIELDS if name in fields}
    old = {name: value for name, value in present.items() if value != fields[name]}
    if old:
        for name in old:
            setattr(head, name, fields[name])
        head.save(update_fields=[*old])
        count_up(head)
    return old


def _record(head: PolicyHead, old: dict[str, Any], actor: Actor, at: datetime) -> None:
    record_event(
        actor=actor,
        action="policies.settings.changed",
        subject_type="policy_settings",
        subject_id=head.id,
        old=old,
        new={name: getattr(head, name) for name in old},
        at=at,
    )


def _payload() -> Object:
    return {"action": "policy.two_person.end"}


def _ask(head: PolicyHead, by_member_id: UUID, actor: Actor, at: datetime) -> Approval:
    return find_open_request(SETTINGS, head.id) or request_approval(
        subject_type=SETTINGS,
        subject_id=head.id,
        title="Let one person activate policies alone",
        payload=_payload(),
        policy_version=None,
        manifest_digest=None,
        requester=actor,
        human_id=by_member_id,
        reasons=["That activations need two people is ended by two people only."],
        evidence={},
        expires_at=None,
        at=at,
    )
