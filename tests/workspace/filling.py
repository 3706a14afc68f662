"""Rows of every kind for an org: what a list and a page of each model have to show."""

from __future__ import annotations

import os
import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.utils import timezone

from apps.agents.models import Agent, Grant
from apps.approvals.models import Approval, ApprovalRule, Vote
from apps.common.actors import SYSTEM
from apps.common.models import TenantModel
from apps.policies.models import OrgPolicy, PolicyHead
from apps.runs.models import Run
from apps.tenants import rls
from apps.trust.models import (
    AuditEvent,
    AuditHead,
    Checkpoint,
    DataKey,
    Leaf,
    LogRetention,
    SigningKey,
)
from apps.trust.services import record_event, rotate_signing_key
from apps.trust.services.sealer import seal
from tests.approvals.factories import ask
from tests.runs.factories import admit, make_agent

ONE_AN_ORG = frozenset({AuditHead, DataKey, LogRetention, PolicyHead})


def fill() -> None:
    """One more row of every tenant model that may have more than one."""
    for model in rls.tenant_models():
        if model not in ONE_AN_ORG or not model.objects.exists():
            make(model)


def make(model: type[TenantModel]) -> Any:
    """A row of that kind, by its service where the database holds it to more than its fields."""
    word = f"x{uuid.uuid4().hex[:12]}"
    if model is Agent:
        return make_agent(word)
    if model is Run:
        return Run.objects.get(id=admit(make_agent(word)).run_id)
    if model is Grant:
        return _row(model, caller=make_agent(word), callee=make_agent(f"{word}2"))
    if model is ApprovalRule:
        return _row(model, tool="")
    if model is OrgPolicy:
        return _row(model, version=1)
    if model is SigningKey:
        return rotate_signing_key(actor=SYSTEM, at=timezone.now())
    if model is Checkpoint:
        make(AuditEvent)
        return seal(at=timezone.now())
    if model is AuditEvent:
        about = {"action": "test.row.made", "subject_type": "row", "subject_id": word}
        return record_event(actor=SYSTEM, at=timezone.now(), **about)
    if model is Leaf:
        return _leave()
    if model is Approval:
        return ask()
    if model is Vote:
        return _row(model, approval=ask())
    return _row(model)


def _leave() -> Leaf:
    """A digest as SQL leaves one: its transaction is for Postgres to say."""
    with connection.cursor() as cursor:
        cursor.execute("select leave('other', %s, %s)", [uuid.uuid4(), os.urandom(32)])
    return Leaf.objects.latest("id")


def _row(model: type[TenantModel], **given: Any) -> Any:
    fields = [f for f in model._meta.concrete_fields if f.name not in {"id", "org_id", *given}]
    needed = {f.name: _sample(f) for f in fields if _is_needed(f)}
    return model._default_manager.create(**needed, **given)


def _is_needed(field: Any) -> bool:
    return not (field.has_default() or field.has_db_default() or field.null)


def _sample(field: Any) -> Any:
    match field:
        case models.ForeignKey():
            other = field.related_model
            return other.objects.order_by("-id").first() or make(other)
        case models.UUIDField():
            return uuid.uuid4()
        case models.BinaryField():
            return os.urandom(32)
        case models.DateTimeField():
            return timezone.now()
        case models.JSONField():
            return {}
        case ArrayField():
            return []
        case models.EmailField():
            return f"{uuid.uuid4().hex}@people.example"
        case models.BooleanField():
            return False
        case models.IntegerField():
            return uuid.uuid4().int % 30_000 + 1
    return field.flatchoices[0][0] if field.flatchoices else uuid.uuid4().hex[: field.max_length]
