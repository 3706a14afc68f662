"""What follows when a second person has decided about policies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from django.db import transaction
from django.utils import timezone

from apps.approvals.errors import ApprovalExpired
from apps.approvals.models import Approval
from apps.approvals.services.requests import cancel_these
from apps.policies.services.seconding import OVERTAKEN, carry_out
from apps.policies.services.settings import change_approved

log = structlog.get_logger(__name__)


def on_change_decided(approval: Approval) -> None:
    """Make the change of a policy that was approved."""
    _use(approval, carry_out)


def on_settings_decided(approval: Approval) -> None:
    """Change the settings as two people agreed."""
    _use(approval, change_approved)


def _use(approval: Approval, act: Callable[..., None]) -> None:
    """Have an approved change made. What isn't any more what was approved stays as it is: the
    approval covers nothing and is taken back, and whoever still wants the change asks again.
    """
    if approval.status != Approval.Status.APPROVED:
        return
    at = timezone.now()
    try:
        act(approval=approval, at=at)
    except ApprovalExpired:
        return  # who is to know, the sweeper tells
    except OVERTAKEN as error:
        log.info("policies.approval_not_used", approval_id=str(approval.id), code=error.code)
        _take_back(approval, at)


def _take_back(approval: Approval, at: datetime) -> None:
    with transaction.atomic():
        cancel_these(approval_ids=[approval.id], at=at)
