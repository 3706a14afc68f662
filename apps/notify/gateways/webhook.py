"""A signed POST of JSON to an endpoint of the org's own (Standard Webhooks 1.0)."""

from __future__ import annotations

import time

from apps.common import egress
from apps.common.egress import EgressFailed, EgressRefused
from apps.common.errors import Invalid
from apps.common.webhooks import signed_headers
from apps.notify.gateways.messages import SECONDS, Address, Message, NotDelivered
from apps.trust.canonical import dumps

ANSWER_MAX = 64 * 1024


def check(url: str) -> None:
    """Refuse an address that can't be called. Raises Invalid; each request is judged again."""
    try:
        egress.check(url)
    except EgressRefused as error:
        raise Invalid.of("url", error.detail) from error


def send(address: Address, message: Message, *, scope: str) -> None:
    """Deliver once. Raises NotDelivered for anything but an answer of 2xx."""
    body = dumps(
        {
            "type": message.kind,
            "id": message.id,
            "timestamp": message.at.isoformat(),
            "data": {
                "title": message.title,
                "body": message.body,
                "url": message.url,
                "org": message.org,
            },
        }
    )
    signed = signed_headers(
        address.secret.encode(), id=message.id, timestamp=int(time.time()), body=body
    )
    try:
        answer = egress.request(
            "POST",
            address.url,
            scope=scope,
            headers={"content-type": "application/json", **signed},
            content=body,
            timeout=SECONDS,
            max_bytes=ANSWER_MAX,
        )
    except (EgressRefused, EgressFailed) as error:
        raise NotDelivered(f"{error.title}.") from error
    if not answer.ok:
        raise NotDelivered(f"The endpoint answered {answer.status}.")
