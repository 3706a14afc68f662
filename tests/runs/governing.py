"""Policies in force, made the short way, for tests of what runs make of what they say."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db.models import F
from django.utils import timezone

from apps.common.ids import uuid7
from apps.policies.models import Attachment, OrgPolicy, Policy, PolicyHead

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
