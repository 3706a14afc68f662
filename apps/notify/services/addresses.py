"""Where a channel leads: kept in the secret store, shown to nobody."""

from __future__ import annotations

import json
import re
from typing import Final
from uuid import UUID

from django.views.decorators.debug import sensitive_variables

from apps.common.errors import Invalid
from apps.notify.gateways import apprise, webhook
from apps.notify.gateways.messages import Address, Message
from apps.notify.gateways.services import SERVICES, WEBHOOK
from apps.trust.secrets import get_secret_store

URL: Final = re.compile(r"[!-~]{1,1000}")
HINTED_FROM: Final = 16
"""An address of fewer characters would be told too much of by its last four."""


@sensitive_variables()
def check(service: str, url: str) -> str:
    """Refuse an address that isn't one of this service; gives it back. Raises Invalid."""
    if not URL.fullmatch(url):
        raise Invalid.of("url", "Use 1 to 1,000 visible ASCII characters without spaces.")
    if service == WEBHOOK:
        webhook.check(url)
    elif service in SERVICES:
        apprise.check(SERVICES[service], url)
    else:
        raise Invalid.of("service", f"Use one of: {', '.join([*SERVICES, WEBHOOK])}.")
    return url


def hint(url: str) -> str:
    """The end of an address, by which its owner knows it again."""
    return url[-4:] if len(url) >= HINTED_FROM else ""


@sensitive_variables()
def keep(channel_id: UUID, address: Address) -> None:
    """Seal a channel's address in the caller's transaction; what it replaces is destroyed."""
    store, ref = get_secret_store(), _ref(channel_id)
    value = json.dumps({"url": address.url, "secret": address.secret}).encode()
    if store.versions(ref):
        store.delete(ref, version=store.rotate(ref, value) - 1)
    else:
        store.put(ref, value)


def forget(channel_id: UUID) -> None:
    get_secret_store().delete(_ref(channel_id))


@sensitive_variables()
def read(channel_id: UUID) -> Address:
    """Where a channel leads; for whoever sends. Raises SecretNotFound, SecretUnreadable."""
    return Address(**json.loads(get_secret_store().get(_ref(channel_id))))


@sensitive_variables("address")
def send(service: str, address: Address, message: Message, *, scope: str) -> None:
    """Deliver once by the service's gateway. Raises NotDelivered."""
    if service == WEBHOOK:
        webhook.send(address, message, scope=scope)
    else:
        apprise.send(SERVICES[service], address, message, scope=scope)


def _ref(channel_id: UUID) -> str:
    return f"notify/channels/{channel_id.hex}"
