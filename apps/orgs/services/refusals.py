"""Refused calls, put on record: at most one a minute for a principal and rule, with a count."""

from __future__ import annotations

from django.utils import timezone

from apps.common.errors import PermissionDenied
from apps.orgs.principals import Principal
from apps.trust.services import record_refusal


def refuse(principal: Principal, error: PermissionDenied) -> None:
    """Record what was refused to whom; called where it is answered, after the transaction ended."""
    is_plain = error.code == PermissionDenied.code
    rule = str(is_plain and error.extra.get("permission") or error.code)
    record_refusal(actor=principal.actor, rule=rule, at=timezone.now())
