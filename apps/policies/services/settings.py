"""What an org says of its policies as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.common.actors import Actor
from apps.common.errors import Invalid
from apps.common.json import Object
from apps.policies.models import KEEP_INPUTS_MAX, DefaultAnswer, PolicyHead
from apps.policies.selectors import SETTINGS
from apps.policies.services.changing import count_up, hold_head
from apps.policies.services.seconding import Matter, ask_second, requester_of, use_approval
from apps.trust.services import record_event

_DECIDING: Final = ("default_answer", "two_person")
_FIELDS: Final = (*_DECIDING, "keep_inputs_days")


@dataclass(frozen=True, slots=True)
class Change:
    """The settings after a change, and the approval that the rest of it waits for, if any."""

    head: PolicyHead
    approval: Approval | None = None


def change_settings(
    *, fields: dict[str, Any], by_member_id: UUID, actor: Actor, at: datetime
) -> Change:
    """Change what is given. Where two people are wanted, two people also end that, and change what
    holds where no policy is attached; the rest is changed at once.

    Raises Invalid.
    """
    _check(fields)
    with transaction.atomic():
        head = hold_head()
        waits = _waits(head, fields)
        given = {name: value for name, value in fields.items() if name not in waits}
        changed = _apply(head, given)
        approval = ask_second(_matter(head, waits), by_member_id, actor, at) if waits else None
        if changed:
            _record(head, changed, actor, at)
    return Change(head, approval)


def change_approved(*, approval: Approval, at: datetime) -> None:
    """Use an approval: change what it was given for, if it is as it was then.

    Within a transaction of its own. Raises ApprovalRefused.
    """
    with transaction.atomic():
        head = hold_head()
        wanted = approval.payload["to"]
        payload = _payload(head, wanted)
        changed = _apply(head, wanted)
        use_approval(approval, payload, at)
        _record(head, changed, requester_of(approval), at)


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


def _waits(head: PolicyHead, fields: dict[str, Any]) -> dict[str, Any]:
    """What of that only two people change: what decides, and that it takes two."""
    if not head.two_person:
        return {}
    named = {name: fields[name] for name in _DECIDING if name in fields}
    return {name: value for name, value in named.items() if value != getattr(head, name)}


def _payload(head: PolicyHead, wanted: dict[str, Any]) -> Object:
    present = {name: getattr(head, name) for name in wanted}
    return {"action": "policy.settings.change", "from": present, "to": wanted}


def _matter(head: PolicyHead, wanted: dict[str, Any]) -> Matter:
    answer = str(wanted.get("default_answer", ""))
    titles = [f"{answer.capitalize()} what no policy is attached to"] if answer else []
    if "two_person" in wanted:
        titles.append("Let one person change what decides alone")
    return Matter(
        subject_type=SETTINGS,
        subject_id=head.id,
        title="; ".join(titles),
        reason="What decides is changed by two people here, and so is that.",
        payload=_payload(head, wanted),
    )
