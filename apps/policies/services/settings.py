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
from apps.orgs.services.recording import HasId
from apps.policies.models import KEEP_INPUTS_MAX, DefaultAnswer, PolicyHead
from apps.policies.selectors import SETTINGS
from apps.policies.services.changing import hold_head
from apps.policies.services.seconding import Change, Facts, Matter, make_or_ask
from apps.trust.services import record_event

_DECIDING: Final = ("default_answer", "two_person")


@dataclass(frozen=True, slots=True)
class Changed:
    """The settings after a change, and the approval that the rest of it waits for, if any."""

    head: PolicyHead
    approval: Approval | None = None


def change_settings(
    *, fields: dict[str, Any], by_member_id: UUID, actor: Actor, at: datetime
) -> Changed:
    """Change what is given. Where two people are wanted, two people also end that, and change what
    holds where no policy is attached; the rest is changed at once.

    What waits is asked first: nothing is overtaken by the rest. Raises Invalid.
    """
    _check(fields)
    with transaction.atomic():
        head = hold_head()
        differs = {name: value for name, value in fields.items() if value != getattr(head, name)}
        waits = _deciding(differs) if head.two_person else {}
        rest = {name: value for name, value in differs.items() if name not in waits}
        asked = [
            make_or_ask(_change(head, part), head, by_member_id, actor, at)
            for part in (waits, rest)
            if part
        ]
    return Changed(head, next(filter(None, asked), None))


def find_change(approval: Approval) -> Change:
    """The change of settings that was asked for, from what they are now."""
    return _change(hold_head(), approval.payload["to"])


def _check(fields: dict[str, Any]) -> None:
    answer, days = fields.get("default_answer"), fields.get("keep_inputs_days")
    if answer is not None and answer not in DefaultAnswer.values:
        raise Invalid.of("default_answer", f"Use one of: {', '.join(DefaultAnswer.values)}.")
    if days is not None and not 1 <= days <= KEEP_INPUTS_MAX:
        raise Invalid.of("keep_inputs_days", f"Use 1 to {KEEP_INPUTS_MAX} days.")


def _deciding(fields: dict[str, Any]) -> dict[str, Any]:
    """What of that only two people change: what decides, and that it takes two."""
    return {name: fields[name] for name in _DECIDING if name in fields}


def _change(head: PolicyHead, wanted: dict[str, Any]) -> Change:
    old = {name: getattr(head, name) for name in wanted}

    def make(by_member_id: UUID | None, at: datetime) -> tuple[Facts, Facts]:
        for name, value in wanted.items():
            setattr(head, name, value)
        head.save(update_fields=[*wanted])
        return old, wanted

    matter = _matter(head, old, wanted) if _deciding(wanted) else None
    return Change(head, "changed", make, matter, record=_record)


def _record(
    row: HasId,
    verb: str,
    actor: Actor,
    at: datetime,
    *,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> None:
    record_event(
        actor=actor,
        action=f"policies.settings.{verb}",
        subject_type="policy_settings",
        subject_id=row.id,
        old=old,
        new=new,
        at=at,
    )


def _matter(head: PolicyHead, old: dict[str, Any], wanted: dict[str, Any]) -> Matter:
    answer = str(wanted.get("default_answer", ""))
    titles = [f"{answer.capitalize()} what no policy is attached to"] if answer else []
    if "two_person" in wanted:
        titles.append("Let one person change what decides alone")
    return Matter(
        subject_type=SETTINGS,
        subject_id=head.id,
        title="; ".join(titles),
        reason="What decides is changed by two people here, and so is that.",
        payload={"action": "policy.settings.change", "from": old, "to": wanted},
    )
