"""What follows when a second person has decided about policies."""

from __future__ import annotations

import structlog
from django.utils import timezone

from apps.approvals.errors import ApprovalRefused
from apps.approvals.models import Approval
from apps.policies.errors import PolicyStateConflict
from apps.policies.services.activating import activate_approved
from apps.policies.services.settings import end_two_person

log = structlog.get_logger(__name__)


def on_activation_decided(approval: Approval) -> None:
    """Activate an approved version. One that isn't what was approved stays as it is: its approval
    covers nothing any more, and whoever wants it activated asks again.
    """
    if approval.status != Approval.Status.APPROVED:
        return
    try:
        activate_approved(approval=approval, at=timezone.now())
    except (ApprovalRefused, PolicyStateConflict) as error:
        log.info("policies.approval_not_used", approval_id=str(approval.id), code=error.code)


def on_settings_decided(approval: Approval) -> None:
    """End what two people agreed to end."""
    if approval.status != Approval.Status.APPROVED:
        return
    try:
        end_two_person(approval=approval, at=timezone.now())
    except ApprovalRefused as error:
        log.info("policies.approval_not_used", approval_id=str(approval.id), code=error.code)
