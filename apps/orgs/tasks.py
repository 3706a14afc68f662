"""Jobs of an org."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.orgs.services import domains, invitations


@shared_task(name="orgs.send_invitation")
def send_invitation(*, invitation_id: str, **_: Any) -> None:
    """Once: a mail that doesn't leave is owed, and the sweeper sees to what is owed."""
    invitations.deliver_invitation(invitation_id=UUID(invitation_id), at=timezone.now())


@shared_task(name="orgs.check_domain")
def check_domain(*, domain_id: str, **_: Any) -> None:
    """Ask the name servers for one domain's record; asked twice, the second finds nothing due."""
    domains.check_domain(domain_id=UUID(domain_id), at=timezone.now())
