"""Signatures on calls to a customer's endpoint, by the Standard Webhooks specification 1.0.

The endpoint recomputes HMAC-SHA256 over `id.timestamp.body` with its secret; the id lets it
recognise a repeated call, and the timestamp keeps old ones out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> bytes:
    """A secret as it is written: `whsec_` and the base64 of 32 random bytes."""
    return PREFIX.encode() + base64.b64encode(secrets.token_bytes(SECRET_BYTES))


def signed_headers(secret: bytes, *, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed call; `timestamp` is in seconds of Unix time."""
    key = base64.b64decode(secret.removeprefix(PREFIX.encode()))
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
