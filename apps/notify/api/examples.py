"""The bodies that the API's description shows."""

from __future__ import annotations

from typing import Any, Final

from apps.common.openapi import example

_AT: Final = "2027-01-31T12:00:00Z"
_CHANNEL_ID: Final = "chn_0190f7c26d1e7b5a9c3e2f4b6a8d0e21"
_NOTICE: Final[dict[str, Any]] = {
    "id": "ntc_0190f7c26d1e7b5a9c3e2f4b6a8d0e20",
    "kind": "notify.channel.paused",
    "title": "The channel On call is paused",
    "body": "8 deliveries in a row failed. The last one: Slack answered 404.",
    "url": f"https://acme.mandate.example/notifications/channels/{_CHANNEL_ID}/",
    "subject": {"type": "channel", "id": _CHANNEL_ID},
    "created_at": _AT,
    "read_at": None,
}
_CHANNEL: Final[dict[str, Any]] = {
    "id": _CHANNEL_ID,
    "name": "On call",
    "scope": "org",
    "service": "slack",
    "hint": "x7Qk",
    "kinds": [],
    "state": "active",
    "failures": 0,
    "last_error": "",
    "last_sent_at": None,
    "paused_at": None,
    "created_at": _AT,
}
_DELIVERY: Final[dict[str, Any]] = {
    "id": "dlv_0190f7c26d1e7b5a9c3e2f4b6a8d0e22",
    "kind": "notify.test.sent",
    "title": "This is a test notice",
    "state": "owed",
    "tries": 0,
    "error": "",
    "created_at": _AT,
    "settled_at": None,
}
_PREFERENCES: Final[dict[str, Any]] = {
    "digest": "daily",
    "kinds": [
        {
            "kind": "notify.channel.paused",
            "label": "A channel was paused",
            "bell": True,
            "email": False,
            "channels": True,
            "always": False,
        }
    ],
}

NOTICES: Final = [example("The inbox", {"results": [_NOTICE], "next": None})]
NOTICE_READ: Final = [example("The notice", {**_NOTICE, "read_at": _AT})]
ALL_READ: Final = [example("So many were unread", {"read": 3})]
CHANNELS: Final = [example("The channels", {"results": [_CHANNEL], "next": None})]
CHANNEL_CREATE: Final = [
    example(
        "A channel of Slack for the organization",
        {
            "name": "On call",
            "scope": "org",
            "service": "slack",
            "url": "https://hooks.slack.com/services/T…/B…/…",
        },
        request=True,
    ),
    example("The channel", {**_CHANNEL, "signing_secret": None}, status=201),
]
CHANNEL: Final = [example("The channel", _CHANNEL)]
CHANNEL_CHANGE: Final = [
    example("Resume it", {"paused": False}, request=True),
    example("The channel", _CHANNEL),
]
DELIVERIES: Final = [example("The deliveries", {"results": [_DELIVERY], "next": None})]
CHANNEL_TEST: Final = [example("The delivery, to be asked for again", _DELIVERY, status=202)]
PREFERENCES: Final = [example("What reaches the member", _PREFERENCES)]
PREFERENCES_CHANGE: Final = [
    example(
        "Gather mail, and leave a kind to the bell",
        {"digest": "daily", "kinds": [{"kind": "notify.channel.paused", "bell": True}]},
        request=True,
    ),
    example("What reaches the member", _PREFERENCES),
]
