"""Reads of notices, channels and what members chose. All of them need both keys held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet

from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.notify.kinds import Kind, list_kinds
from apps.notify.models import Channel, Delivery, Digest, Notice, Preference
from apps.orgs.principals import Principal

NOTICE, CHANNEL, DELIVERY = "ntc", "chn", "dlv"
COUNTED: Final = 10
"""The bell counts no further: it shows 9+."""
MANAGE: Final = "notify.manage"
OWN: Final = "notices.own"
UNREAD: Final = "unread_notices"
"""Under this name the unread are read along with whoever enters (apps.orgs.beside)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways that a kind takes to a member."""

    kind: Kind
    bell: bool
    email: bool
    channels: bool


def page_of_channel(channel_id: UUID) -> str:
    """The page of a channel; a path, for it stands in notices, which every host links alike."""
    return f"/notifications/channels/{public_id(CHANNEL, channel_id)}/"


def unread_of_member() -> ArraySubquery:
    """The first unread notices of a member's row, for the bell: one look into a partial index."""
    rows = Notice.objects.filter(member_id=OuterRef("pk"), in_inbox=True, read_at=None)
    return ArraySubquery(rows.values("id")[:COUNTED])


def unread_of(by: Principal) -> int | None:
    """How many unread notices were read along with a member in a browser; at most COUNTED, and
    None for who has no inbox to read them in.
    """
    return len(by.beside.get(UNREAD) or ()) if by.may(OWN) else None


def count_unread(*, by: Principal) -> int:
    """How many there are now; at most COUNTED."""
    return len(list_notices(by=by, unread=True).values_list("id")[:COUNTED])


def list_notices(*, by: Principal, unread: bool = False) -> QuerySet[Notice]:
    """What this member was told and has in the inbox, newest first."""
    rows = Notice.objects.filter(member_id=by.member_id, in_inbox=True)
    rows = rows.filter(read_at=None) if unread else rows
    return rows.order_by("-created_at", "-id")


def get_notice(ref: str, *, by: Principal) -> Notice:
    """One of this member's own; raises NotFound for every other."""
    found = list_notices(by=by).filter(id=parse_id(NOTICE, ref)).first()
    if found is None:
        raise NotFound
    return found


def list_choices(*, by: Principal) -> list[Choice]:
    """Every kind there is, with the ways that this member chose, or those it takes by itself."""
    rows = Preference.objects.filter(member_id=by.member_id)
    chosen = {row.kind: row for row in rows}
    return [_choice(kind, chosen.get(kind.code)) for kind in list_kinds()]


def find_digest(*, by: Principal) -> str:
    """How often this member's mail is gathered; `off` for at once."""
    every = Digest.objects.filter(member_id=by.member_id).values_list("every", flat=True).first()
    return every or Digest.Every.OFF


def list_channels(*, by: Principal, own: bool | None = None) -> QuerySet[Channel]:
    """The channels that this principal may see, newest first: its member's own, and the org's for
    whoever manages them; `own` narrows it to one of the two kinds.
    """
    mine, orgs = Q(member_id=by.member_id), Q(member=None)
    seen = mine | orgs if by.may(MANAGE) else mine
    if own is not None:
        seen &= mine if own else orgs
    return Channel.objects.filter(seen).order_by("-created_at", "-id")


def get_channel(ref: str, *, by: Principal) -> Channel:
    """A channel that this principal may see; raises NotFound for every other."""
    found = list_channels(by=by).filter(id=parse_id(CHANNEL, ref)).first()
    if found is None:
        raise NotFound
    return found


def list_deliveries(channel: Channel) -> QuerySet[Delivery]:
    """What went to a channel, newest first."""
    return Delivery.objects.filter(channel=channel).order_by("-created_at", "-id")


def _choice(kind: Kind, row: Preference | None) -> Choice:
    ways = row or kind
    return Choice(kind, ways.bell or kind.always, ways.email, ways.channels)
