"""Requests made the short way, and the times that the database finds them in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.approvals import registry
from apps.approvals.models import Approval
from apps.approvals.services import requests, voting
from apps.common.actors import Actor, ActorType
from apps.common.ids import uuid7
from apps.orgs.principals import Principal
from apps.trust.canonical import digest

KIND = "test.thing"
AGENT = Actor(ActorType.AGENT, "agt_1", "concierge")
PAYLOAD: dict[str, Any] = {"tool": "send", "input": {"to": "ada@acme.example", "amount": 12.5}}
SUBJECT = registry.Subject("Thing", lambda _: "/projects/", lambda _: None)
registry.register(KIND, SUBJECT)
BINDING: dict[str, Any] = {"policy_version": 7, "manifest_digest": "9f" * 32}


def ask(*, by: Principal | None = None, **fields: Any) -> Approval:
    """A request of an agent, behind which is that member."""
    now = timezone.now()
    values = {
        "subject_type": KIND,
        "subject_id": uuid7(),
        "title": "Send a mail to a new address",
        "payload": PAYLOAD,
        "requester": AGENT,
        "human_id": by.member_id if by else None,
        "reasons": ["new address"],
        "evidence": {},
        "expires_at": None,
        "at": now,
        **BINDING,
        **fields,
    }
    with transaction.atomic():
        return requests.request_approval(**values)


def ask_too_late(**fields: Any) -> Approval:
    """A request whose time is over, and that no sweeper has seen."""
    now = timezone.now()
    return ask(at=now - timedelta(days=2), expires_at=now - timedelta(seconds=1), **fields)


def approved(*, by: Principal, **fields: Any) -> Approval:
    """A request that this member has approved."""
    return voting.approve(approval_id=ask(**fields).id, voter=by, comment="", at=timezone.now())


def consume(approval_id: UUID, **changed: Any) -> None:
    """Use it for what it was asked for, unless told otherwise."""
    values = {"payload_digest": digest(PAYLOAD), **BINDING, **changed}
    with transaction.atomic():
        requests.consume(approval_id=approval_id, at=timezone.now(), **values)


def in_state(status: str, *, by: Principal) -> Approval:
    """A request that got into this state by the services alone."""
    now = timezone.now()
    match status:
        case "pending":
            return ask()
        case "approved" | "consumed":
            approval = approved(by=by)
            if status == "consumed":
                consume(approval.id)
        case "rejected":
            approval = ask()
            voting.reject(approval_id=approval.id, voter=by, comment="", at=now)
        case "expired":
            from apps.approvals.services import outcome

            approval = ask_too_late()
            outcome.expire_approvals(at=now)
        case "cancelled":
            approval = ask()
            with transaction.atomic():
                requests.cancel_for(subject_type=KIND, subject_ids=[approval.subject_id], at=now)
    return Approval.objects.get(id=approval.id)
