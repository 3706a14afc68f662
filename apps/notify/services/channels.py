"""Channels: made, changed, tried, resumed, removed.

The org's are for whoever has `notify.manage`, a member's own for that member: a channel that `by`
may not see doesn't exist for them. An address goes in and never out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.views.decorators.debug import sensitive_variables

from apps.common.actors import Actor
from apps.common.errors import Invalid, NotFound
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.common.text import is_one_line
from apps.common.webhooks import new_secret
from apps.notify import kinds as registered
from apps.notify.errors import ChannelNameInUse, ChannelPaused, TooManyChannels
from apps.notify.gateways.messages import Address
from apps.notify.gateways.services import WEBHOOK
from apps.notify.models import Channel, Delivery
from apps.notify.selectors import CHANNEL, list_channels, page_of_channel
from apps.notify.services import addresses
from apps.notify.services.delivering import drop_owed
from apps.notify.services.inbox import spend_test
from apps.notify.services.telling import News, owe
from apps.orgs.principals import Principal
from apps.orgs.services.recording import recorder

MOST: Final = 20
_record = recorder("channel", CHANNEL, app="notify")


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel that was made, with the secret that signs what a webhook is sent, shown once."""

    channel: Channel
    secret: str = ""


@sensitive_variables()
def create_channel(
    *,
    name: str,
    service: str,
    url: str,
    kinds: Sequence[str] = (),
    own: bool = True,
    by: Principal,
    at: datetime,
) -> NewChannel:
    """Have notices go to a place outside: the member's own, or the org's.

    Raises Invalid, ChannelNameInUse, TooManyChannels.
    """
    url = addresses.check(service, url.strip())
    secret = new_secret().decode() if service == WEBHOOK else ""
    channel = Channel(
        name=_checked_name(name),
        member_id=by.member_id if own else None,
        service=service,
        hint=addresses.hint(url),
        kinds=_checked_kinds(kinds),
        created_by_id=by.member_id,
        created_at=at,
        updated_at=at,
    )
    with _told(channel), transaction.atomic():
        if list_channels(by=by, own=own).count() >= MOST:
            raise TooManyChannels(f"There are {MOST} already. Remove one first.")
        channel.save(force_insert=True)
        addresses.keep(channel.id, Address(url, secret))
        _record(channel, "created", by.actor, at, new=_facts(channel))
    return NewChannel(channel, secret)


@sensitive_variables("url")
def update_channel(
    *,
    channel_id: UUID,
    name: str | None = None,
    kinds: Sequence[str] | None = None,
    url: str | None = None,
    by: Principal,
    at: datetime,
) -> Channel:
    """Rename a channel, choose what goes there, or have it lead elsewhere; a webhook keeps its
    secret. Raises NotFound, Invalid, ChannelNameInUse.
    """
    with transaction.atomic():
        channel = _locked(channel_id, by)
        before = _facts(channel)
        if name is not None:
            channel.name = _checked_name(name)
        if kinds is not None:
            channel.kinds = _checked_kinds(kinds)
        replaced = _replace(channel, url) if url else {}
        changed = {k: v for k, v in _facts(channel).items() if v != before[k]}
        if changed or replaced:
            channel.updated_at = at
            with _told(channel), transaction.atomic():
                channel.save(update_fields=["name", "kinds", "hint", "updated_at"])
            old = {name: before[name] for name in changed}
            _record(channel, "updated", by.actor, at, old=old, new={**changed, **replaced})
    return channel


def resume_channel(*, channel_id: UUID, by: Principal, at: datetime) -> Channel:
    """Have notices go to a paused channel again; what was dropped meanwhile stays so.

    Raises NotFound.
    """
    with transaction.atomic():
        channel = _locked(channel_id, by)
        if channel.state == Channel.State.PAUSED:
            channel.resume()
            channel.save(update_fields=["state", "paused_at", "failing_since", "failures"])
            _record(channel, "resumed", by.actor, at)
    return channel


def pause_channel(*, channel_id: UUID, by: Principal, at: datetime) -> Channel:
    """Have nothing go to a channel for now; what it is owed is dropped. Raises NotFound."""
    with transaction.atomic():
        channel = _locked(channel_id, by)
        if channel.state == Channel.State.ACTIVE:
            channel.pause(at=at)
            channel.save(update_fields=["state", "paused_at"])
            drop_owed(channel.id, at)
            _record(channel, "paused", by.actor, at)
    return channel


def remove_channel(*, channel_id: UUID, by: Principal, at: datetime) -> None:
    """Forget a channel, its address and what went there. Raises NotFound."""
    with transaction.atomic():
        _remove([_locked(channel_id, by)], by.actor, at)


def remove_channels_of(*, member_id: UUID, actor: Actor, at: datetime) -> None:
    """Forget the channels of a member who goes: nobody else could, and nothing is told them."""
    with transaction.atomic():
        rows = Channel.objects.select_for_update().filter(member_id=member_id).order_by("id")
        _remove(list(rows), actor, at)


def test_channel(*, channel_id: UUID, by: Principal, at: datetime) -> Delivery:
    """Send a test message to a channel, by job; the delivery says what comes of it.

    Raises NotFound, ChannelPaused, RateLimited.
    """
    spend_test(by)
    with transaction.atomic():
        channel = _locked(channel_id, by)
        if channel.state != Channel.State.ACTIVE:
            raise ChannelPaused("Resume the channel first.")
        delivery = owe(channel.id, _test_news(channel), at)
        delivery.save(force_insert=True)
        enqueue("notify.deliver", delivery_id=str(delivery.id))
    return delivery


def _remove(found: Sequence[Channel], actor: Actor, at: datetime) -> None:
    for channel in found:
        Delivery.objects.filter(channel_id=channel.id).delete()
        addresses.forget(channel.id)
        Channel.objects.filter(id=channel.id).delete()
    for channel in found:
        _record(channel, "removed", actor, at, old=_facts(channel))


def _test_news(channel: Channel) -> News:
    return News(
        kind=registered.TEST.code,
        title="This is a test notice",
        body=f"Notices arrive at the channel {channel.name}.",
        path=page_of_channel(channel.id),
        subject_type="channel",
        subject_id=public_id(CHANNEL, channel.id),
    ).checked()


def _replace(channel: Channel, url: str) -> dict[str, Any]:
    """Another address, under the same secret if it has one."""
    checked = addresses.check(channel.service, url.strip())
    addresses.keep(channel.id, Address(checked, addresses.read(channel.id).secret))
    channel.hint = addresses.hint(checked)
    return {"address_replaced": True}


def _locked(channel_id: UUID, by: Principal) -> Channel:
    found = list_channels(by=by).select_for_update().filter(id=channel_id).first()
    if found is None:
        raise NotFound
    return found


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 80 or not is_one_line(name):
        raise Invalid.of("name", "Use 1 to 80 characters on one line.")
    return name


def _checked_kinds(kinds: Sequence[str]) -> list[str]:
    known = {kind.code for kind in registered.list_kinds()}
    if unknown := sorted(set(kinds) - known):
        raise Invalid.of("kinds", f"There is no kind {unknown[0][:60]}.")
    return sorted(set(kinds))


@contextmanager
def _told(channel: Channel) -> Iterator[None]:
    """Turn what the constraint on names refuses into the conflict that it means."""
    try:
        yield
    except IntegrityError as error:
        if "channel_name" not in str(error):
            raise
        raise ChannelNameInUse(f"Another channel is called “{channel.name}”.") from error


def _facts(channel: Channel) -> dict[str, Any]:
    """A channel for the record; of its address not even the end."""
    facts = {"name": channel.name, "service": channel.service, "kinds": channel.kinds}
    return {**facts, "own": not channel.is_orgs}
