"""Messages to channels, one at a time.

A delivery is claimed in a transaction of its own and leaves with no lock held. What fails is tried
again after a pause; a channel that fails too often in a row is paused and its owner told, by the
bell: nothing else that happens in the org depends on a place outside.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from apps.common.actors import SYSTEM
from apps.common.errors import DomainError
from apps.common.ids import public_id
from apps.notify import kinds
from apps.notify.gateways.messages import Message, NotDelivered
from apps.notify.models import Channel, Delivery
from apps.notify.selectors import CHANNEL, DELIVERY, page_of_channel
from apps.notify.services import addresses
from apps.notify.services.pauses import MOST_TRIES, after_try
from apps.notify.services.telling import Audience, tell
from apps.orgs.services.recording import recorder
from apps.tenants import keys
from apps.tenants import selectors as tenants

log = structlog.get_logger(__name__)

PAUSED_AFTER: Final = 8
PAUSED_SINCE: Final = timedelta(hours=1)
"""So many failures in a row, and the first of them so long ago: a burst of news while a place is
down for a minute pauses nothing."""
MOST_COUNTED: Final = 9_999
_record = recorder("channel", CHANNEL, app="notify")


def deliver(*, delivery_id: UUID, at: datetime) -> bool:
    """Send a delivery to its channel if it is due; whether it arrived."""
    delivery = _claim(delivery_id, at)
    if delivery is None:
        return False
    error = _send(delivery)
    settled_at = max(at, timezone.now())
    if error:
        log.warning("notify.not_delivered", channel=str(delivery.channel_id), why=error)
        _note_failure(delivery, error, settled_at)
    else:
        _note_success(delivery, settled_at)
    return not error


def drop_owed(channel_id: UUID, at: datetime) -> None:
    """Send no more of what a channel is owed."""
    owed = Delivery.objects.filter(channel_id=channel_id, state=Delivery.State.OWED)
    owed.update(state=Delivery.State.DROPPED, next_try_at=None, settled_at=at)


def _claim(delivery_id: UUID, at: datetime) -> Delivery | None:
    """The delivery, put off so that nobody else sends it meanwhile; None if it isn't due."""
    with transaction.atomic():
        rows = Delivery.objects.select_for_update(skip_locked=True, of=("self",))
        due = rows.select_related("channel").filter(state=Delivery.State.OWED, next_try_at__lte=at)
        delivery = due.filter(id=delivery_id).first()
        if delivery is None:
            return None
        if delivery.channel.state != Channel.State.ACTIVE:
            drop_owed(delivery.channel_id, at)
            return None
        delivery.tries += 1
        delivery.next_try_at = at + after_try(delivery.tries)
        delivery.save(update_fields=["tries", "next_try_at"])
    return delivery


def _send(delivery: Delivery) -> str:
    """Send it; what went wrong, or ""."""
    try:
        address = addresses.read(delivery.channel_id)
        service, scope = delivery.channel.service, keys.current().schema
        addresses.send(service, address, _message(delivery), scope=scope)
    except NotDelivered as error:
        return str(error)
    except DomainError as error:  # an address or a secret that was good once
        return f"{error.title}."
    except Exception as error:  # noqa: BLE001 - a task's edge: plugins are not our code
        # No traceback: what such an error says may quote the address.
        name, service = type(error).__name__, delivery.channel.service
        log.error("notify.gateway_failed", service=service, error=name)
        return f"It could not be sent ({type(error).__name__})."
    return ""


def _message(delivery: Delivery) -> Message:
    org = tenants.get_org(delivery.org_id)
    return Message(
        id=public_id(DELIVERY, delivery.id),
        kind=delivery.kind,
        label=kinds.label_of(delivery.kind),
        title=delivery.title,
        body=delivery.body,
        url=f"{org.url}{delivery.path}",
        org=org.name,
        at=delivery.created_at,
    )


def _note_success(delivery: Delivery, at: datetime) -> None:
    with transaction.atomic():
        Channel.objects.filter(id=delivery.channel_id).update(
            failures=0, failing_since=None, last_error="", last_sent_at=at
        )
        _settle(delivery, Delivery.State.SENT, "", at)


def _note_failure(delivery: Delivery, error: str, at: datetime) -> None:
    """Give the delivery up after its last try, and pause the channel after too many failures."""
    with transaction.atomic():
        channel = Channel.objects.select_for_update().filter(id=delivery.channel_id).first()
        if channel is None:
            return
        channel.failures = min(channel.failures + 1, MOST_COUNTED)
        channel.failing_since = channel.failing_since or at
        channel.last_error = error
        if delivery.tries >= _most_tries(delivery):
            _settle(delivery, Delivery.State.FAILED, error, at)
        else:
            Delivery.objects.filter(id=delivery.id).update(error=error)
        pauses = _is_gone(channel, at)
        if pauses:
            channel.pause(at=at)
        channel.save(
            update_fields=["failures", "failing_since", "last_error", "state", "paused_at"]
        )
        if pauses:
            _tell_of_pause(channel, at)


def _is_gone(channel: Channel, at: datetime) -> bool:
    """Whether an active channel has failed so often and for so long that it is paused."""
    since = channel.failing_since or at
    lasts = channel.failures >= PAUSED_AFTER and at - since >= PAUSED_SINCE
    return lasts and channel.state == Channel.State.ACTIVE


def _tell_of_pause(channel: Channel, at: datetime) -> None:
    """Nothing is owed to it any more; who can mend it hears of it."""
    drop_owed(channel.id, at)
    owner = (channel.member_id,) if channel.member_id else ()
    tell(
        kind=kinds.CHANNEL_PAUSED.code,
        title=f"The channel {channel.name} is paused",
        body=f"{channel.failures} deliveries in a row failed. The last one: {channel.last_error}",
        path=page_of_channel(channel.id),
        to=Audience(permission="notify.manage" if channel.is_orgs else "", members=owner),
        subject_type="channel",
        subject_id=public_id(CHANNEL, channel.id),
        at=at,
    )
    if channel.is_orgs:
        _record(channel, "paused", SYSTEM, at, new={"failures": channel.failures})


def _most_tries(delivery: Delivery) -> int:
    """Who tries a channel wants to know now; everything else is tried for hours."""
    return 1 if delivery.kind == kinds.TEST.code else MOST_TRIES


def _settle(delivery: Delivery, state: str, error: str, at: datetime) -> None:
    mine = Delivery.objects.filter(id=delivery.id, state=Delivery.State.OWED, tries=delivery.tries)
    mine.update(state=state, error=error, next_try_at=None, settled_at=at)
