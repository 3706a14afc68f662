"""Writing policies, their next versions, and their end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from apps.approvals.models import Approval
from apps.common.actors import Actor
from apps.common.errors import Invalid
from apps.policies.engine import get_engine
from apps.policies.errors import RegoInvalid
from apps.policies.models import OrgPolicy, Policy, PolicyStatus
from apps.policies.places import Place
from apps.policies.selectors import RETIREMENT, label_of, list_attachments
from apps.policies.services.attaching import attachment_at
from apps.policies.services.changing import (
    check_read,
    count_up,
    facts_of,
    hold_head,
    newest_of,
    open_policy,
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
    take_back_overtaken,
)

NAME_MAX: Final = 80
PURPOSE_MAX: Final = 200
_SAYS: Final = ("name", "purpose", "rego_text", "tests")


def create_policy(
    *,
    name: str,
    rego_text: str,
    purpose: str = "",
    tests: str = "",
    attach: Place | None = None,
    by_member_id: UUID | None,
    actor: Actor,
    at: datetime,
) -> OrgPolicy:
    """Write a policy's first version, a draft. Attached or not, it counts once it is active.

    Raises Invalid, RegoInvalid with the place of each flaw, PolicyEngineUnavailable.
    """
    says = {"name": name, "purpose": purpose, "rego_text": rego_text, "tests": tests}
    checked = check(says)
    with transaction.atomic():
        hold_head()
        policy = Policy.objects.create(name=checked["name"], created_at=at)
        version = _write(policy, checked, by_member_id, at)
        if attach is not None:
            row = attachment_at(policy, attach)
            row.created_at = at
            row.save(force_insert=True)
        record(
            policy,
            "created",
            actor,
            at,
            new={**facts_of(version), "attached": attach.label if attach else None},
        )
    return version


def revise_policy(
    *,
    policy_id: UUID,
    says: Mapping[str, str],
    read_version: int | None = None,
    by_member_id: UUID | None,
    actor: Actor,
    at: datetime,
) -> OrgPolicy:
    """Write the policy's next version from what is given and what the newest says; the same again
    is no new version. One that was on its way to be active is put away.

    Raises NotFound, PolicyStateConflict, Invalid, RegoInvalid, and PreconditionFailed if the newest
    isn't the version that was read.
    """
    given = {name: says[name] for name in _SAYS if name in says}
    check(given)
    with transaction.atomic():
        head, policy = hold_head(), open_policy(policy_id)
        newest = newest_of(policy)
        check_read(policy, read_version)
        whole = {name: getattr(newest, name) for name in _SAYS}
        merged = _tidy({**whole, **given})
        if merged == whole:
            return newest
        waiting = _put_away(policy, at)
        if waiting is not None and waiting.shadow_since is not None:
            count_up(head)
        policy.version, policy.name = policy.version + 1, merged["name"]
        policy.save(update_fields=["version", "name"])
        version = _write(policy, merged, by_member_id, at)
        take_back_overtaken(policy, at)
        record(policy, "revised", actor, at, old=facts_of(newest), new=facts_of(version))
    return version


def retire_policy(
    *, policy_id: UUID, by_member_id: UUID | None, actor: Actor, at: datetime
) -> Approval | None:
    """End a policy for good: no version of it counts any more; what it decided stays on record. Or,
    where one decides and the org wants two people for that, ask for the second, and give the
    approval that it waits for.

    Raises NotFound, PolicyStateConflict.
    """
    with transaction.atomic():
        head = hold_head()
        change = _retirement(open_policy(policy_id))
        return make_or_ask(change, head, by_member_id, actor, at)


def find_retirement(approval: Approval) -> Change:
    """The retirement that was asked for; raises PolicyStateConflict if it has happened."""
    return _retirement(open_policy(approval.subject_id))


def check(says: Mapping[str, str]) -> dict[str, str]:
    """What a version would say, tidied, if it can be taken: the text read, compiled and evaluated
    on examples. Raises Invalid, RegoInvalid, PolicyEngineUnavailable.
    """
    found = _tidy(says)
    if "name" in found and not 1 <= len(found["name"]) <= NAME_MAX:
        raise Invalid.of("name", f"Use 1 to {NAME_MAX} characters.")
    if len(found.get("purpose", "")) > PURPOSE_MAX:
        raise Invalid.of("purpose", f"Use at most {PURPOSE_MAX} characters.")
    engine = get_engine()
    if "rego_text" in found and (flaws := engine.find_flaws(found["rego_text"])):
        raise RegoInvalid.of_flaws("rego_text", flaws)
    if found.get("tests") and (flaws := engine.find_test_flaws(found["tests"])):
        raise RegoInvalid.of_flaws("tests", flaws)
    return found


def digest_of(rego: str) -> str:
    """What names a text: SHA-256 in hex."""
    return hashlib.sha256(rego.encode()).hexdigest()


def _tidy(says: Mapping[str, str]) -> dict[str, str]:
    """Line ends as they are kept, and nothing around a name."""
    texts = {name: text.replace("\r\n", "\n") for name, text in says.items()}
    lines = {name: text.strip() for name, text in texts.items() if name in ("name", "purpose")}
    tests = {"tests": texts["tests"]} if texts.get("tests", "").strip() else {}
    blank = {"tests": ""} if "tests" in texts else {}
    return {**texts, **lines, **blank, **tests}


def _write(
    policy: Policy, says: Mapping[str, str], by_member_id: UUID | None, at: datetime
) -> OrgPolicy:
    return OrgPolicy.objects.create(
        policy=policy,
        version=policy.version,
        digest=digest_of(says["rego_text"]),
        created_by_id=by_member_id,
        created_at=at,
        **says,
    )


def _retirement(policy: Policy) -> Change:
    active = version_of(policy, PolicyStatus.ACTIVE)

    def make(by_member_id: UUID | None, at: datetime) -> tuple[Facts, Facts]:
        _put_away(policy, at)
        if active is not None:
            active.retire(at=at)
            save_move(active, "retired_at")
        policy.retired_at = at
        policy.save(update_fields=["retired_at"])
        return {"name": policy.name, "active": active.version if active else None}, None

    return Change(policy, "retired", make, _matter(policy, active) if active else None)


def _matter(policy: Policy, active: OrgPolicy) -> Matter:
    attached = sorted(label_of(row) for row in list_attachments(policy.id))
    return Matter(
        subject_type=RETIREMENT,
        subject_id=policy.id,
        title=f"Retire {active.name}",
        reason="Retiring an active policy needs a second person here.",
        payload={**payload_about("policy.retire", policy, active), "attached": attached},
        evidence={"rego_text": active.rego_text},
    )


def _put_away(policy: Policy, at: datetime) -> OrgPolicy | None:
    """Retire the version that was on its way, if there is one; given as it was."""
    waiting = version_of(policy, *OrgPolicy.OPEN)
    if waiting is None:
        return None
    was = copy(waiting)
    waiting.retire(at=at)
    save_move(waiting, "retired_at")
    return was
