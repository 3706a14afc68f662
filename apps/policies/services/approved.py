"""What follows when a second person has decided about policies."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import transaction
from django.utils import timezone

from apps.approvals.errors import ApprovalExpired
from apps.approvals.models import Approval
from apps.approvals.services.requests import cancel_these
from apps.policies.services.seconding import OVERTAKEN, carry_out

log = structlog.get_logger(__name__)


def on_change_decided(approval: Approval) -> None:
    """Make the change that was approved. What isn't any more what was approved stays as it is: the
    approval covers nothing and is taken back, and whoever still wants the change asks again.
    """
    if approval.status != Approval.Status.APPROVED:
        return
    at = timezone.now()
    try:
        carry_out(approval=approval, at=at)
    except ApprovalExpired:
        return  # who is to know, the sweeper tells
    except OVERTAKEN as error:
        log.info("policies.approval_not_used", approval_id=str(approval.id), code=error.code)
        _take_back(approval, at)


def _take_back(approval: Approval, at: datetime) -> None:
    with transaction.atomic():
        cancel_these(approval_ids=[approval.id], at=at)
