"""What a member does with what they were told."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.common.errors import RateLimited
from apps.common.ids import public_id
from apps.common.ratelimit import Policy, default_limiter
from apps.notify import kinds
from apps.notify.models import Notice
from apps.notify.services.telling import Audience, tell
from apps.orgs.principals import Principal
from apps.orgs.selectors import MEMBER


def mark_read(*, notice_id: UUID, by: Principal, at: datetime) -> None:
    """Note that a member has seen one of their notices; the first time counts."""
    rows = Notice.objects.filter(id=notice_id, member_id=by.member_id, read_at=None)
    rows.update(read_at=at)


def mark_all_read(*, by: Principal, at: datetime) -> int:
    """Note that a member has seen all of theirs so far; how many that were."""
    rows = Notice.objects.filter(member_id=by.member_id, in_inbox=True, read_at=None)
    return rows.filter(created_at__lte=at).update(read_at=at)


def send_test(*, by: Principal, at: datetime) -> None:
    """Tell a member, and nobody else, that this is what a notice looks like. Raises RateLimited."""
    spend_test(by)
    with transaction.atomic():
        tell(
            kind=kinds.TEST.code,
            title="This is a test notice",
            body="It came by every way that you have chosen for test notices.",
            path="/notifications/settings/",
            to=Audience(members=(by.member_id,)),
            subject_type="member",
            subject_id=public_id(MEMBER, by.member_id),
            at=at,
        )


def spend_test(by: Principal) -> None:
    """Count a test: each makes us write to somebody else's server. Raises RateLimited."""
    policy = Policy.parse("notify-tests", settings.NOTIFY_TEST_RATE)
    verdict = default_limiter().spend(policy, by.rate_limit_key)
    if verdict and not verdict.allowed:
        raise RateLimited(
            f"{policy.quota} tests in {policy.window // 60} minutes are allowed.",
            retry_after=verdict.reset,
        )
