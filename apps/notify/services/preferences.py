"""Which ways news takes to a member: per kind, and how often mail is gathered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from apps.common.errors import Invalid
from apps.common.jobs import enqueue
from apps.notify.kinds import list_kinds
from apps.notify.models import Digest, Notice, Preference
from apps.notify.services.telling import next_digest
from apps.orgs.principals import Principal


@dataclass(frozen=True, slots=True)
class Ways:
    """Bell and inbox, mail, and the member's own channels."""

    bell: bool
    email: bool
    channels: bool


def save_preferences(
    *, ways: Mapping[str, Ways], every: str | None = None, by: Principal, at: datetime
) -> None:
    """Have each of these kinds take these ways from now on, and mail be gathered so often.

    Kinds that aren't named keep theirs. Raises Invalid.
    """
    known = {kind.code: kind for kind in list_kinds()}
    if unknown := sorted(set(ways) - set(known)):
        raise Invalid.of("kinds", f"There is no kind {unknown[0][:60]}.")
    if silenced := [code for code in sorted(ways) if known[code].always and not ways[code].bell]:
        raise Invalid.of("kinds", f"{silenced[0]} always rings the bell: leave that on.")
    if every is not None and every not in Digest.Every.values:
        raise Invalid.of("digest", f"Use one of: {', '.join(Digest.Every.values)}.")
    with transaction.atomic():
        _save_ways(ways, by)
        if every is not None:
            _set_digest(every, by, at)


def _save_ways(ways: Mapping[str, Ways], by: Principal) -> None:
    rows = [
        Preference(
            member_id=by.member_id,
            kind=code,
            bell=way.bell,
            email=way.email,
            channels=way.channels,
        )
        for code, way in sorted(ways.items())
    ]
    Preference.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["member", "kind"],
        update_fields=["bell", "email", "channels"],
    )


def _set_digest(every: str, by: Principal, at: datetime) -> None:
    """What waited for a digest leaves with the next one, or at once if there is none any more."""
    waiting = Notice.objects.filter(member_id=by.member_id, mail=Notice.Mail.DIGEST)
    due_at = next_digest(every, at) if waiting.exists() else None
    Digest.objects.update_or_create(
        member_id=by.member_id, defaults={"every": every, "due_at": due_at, "tries": 0}
    )
    if every == Digest.Every.OFF and waiting.update(mail=Notice.Mail.OWED, mail_next_at=at):
        enqueue("notify.send_mails")
