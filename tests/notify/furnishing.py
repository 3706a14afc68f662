"""A notice and channels for whoever looks at an org's pages (tests/orgs/test_views_matrix.py)."""

from __future__ import annotations

from typing import Any, Final

from apps.common.ids import public_id
from apps.notify.models import Notice
from apps.notify.services import channels
from apps.notify.services.inbox import send_test
from apps.tenants import keys
from tests.orgs.conftest import AT

DISCORD: Final = {
    "service": "discord",
    "url": f"https://discord.com/api/webhooks/{'1' * 18}/{'a' * 68}",
}
ON_CHANNEL: Final = ("channel", "channel_test", "channel_pause", "channel_remove")


def furnish_notices(org: Any, who: Any) -> dict[str, Any]:
    """A notice that `who` has not read, and two channels of theirs, one of them paused."""
    with keys.holding(org.schema, org.id):
        send_test(by=who, at=AT)
        notice = Notice.objects.filter(member_id=who.member_id).latest("id")
        live, paused = (
            channels.create_channel(name=name, **DISCORD, by=who, at=AT).channel
            for name in ("Chat", "Silent")
        )
        channels.pause_channel(channel_id=paused.id, by=who, at=AT)
    return {
        **{f"notify:{name}": public_id("chn", live.id) for name in ON_CHANNEL},
        "notify:channel_resume": public_id("chn", paused.id),
        "notify:open": public_id("ntc", notice.id),
        "notify:read": public_id("ntc", notice.id),
    }
