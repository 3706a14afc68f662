"""Policies in force and people's words, the short way: for tests of what runs make of them."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db.models import F
from django.utils import timezone

from apps.approvals.models import Approval
from apps.approvals.services import outcome, voting
from apps.common.ids import uuid7
from apps.policies.models import Attachment, OrgPolicy, Policy, PolicyHead
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke

HELLO = {"text": "hello"}
ALLOW = "package mandate\n\nallow := true\n\n"


def in_force(rules: str, *, name: str = "Rule", **where: Any) -> OrgPolicy:
    """A policy that allows all but what these rules say, attached to the org unless told where."""
    at, rego = timezone.now(), ALLOW + rules
    policy = Policy.objects.create(name=name, created_at=at)
    version = OrgPolicy(
        id=uuid7(),
        policy=policy,
        version=1,
        name=name,
        rego_text=rego,
        digest=hashlib.sha256(rego.encode()).hexdigest(),
        status="active",
        created_at=at,
        activated_at=at,
    )
    version.save(force_insert=True)
    Attachment.objects.create(policy=policy, created_at=at, **(where or {"scope": "org"}))
    count_up()
    return version


def count_up() -> None:
    """What every change of what is in force does."""
    if not PolicyHead.objects.update(bundle=F("bundle") + 1):
        PolicyHead.objects.create(bundle=1)


def ask(who: Any, agent: str = "echo", **fields: Any) -> Any:
    fields.setdefault("input", HELLO)
    return invoke(Ask(agent=agent, **fields), caller=who, at=timezone.now())


def approve(boss: Any, run: Any) -> None:
    """What a person and the job after it do."""
    approval = Approval.objects.get(id=Run.objects.get(id=run.id).approval_id)
    voting.approve(approval_id=approval.id, voter=boss, comment="", at=timezone.now())
    tell(approval.id)


def tell(approval_id: Any) -> None:
    outcome.tell_subject(approval_id=approval_id, at=timezone.now())


def state(run: Any) -> tuple[str, str]:
    row = Run.objects.get(id=run.id)
    return row.status, row.reason
