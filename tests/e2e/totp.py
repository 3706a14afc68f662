"""Time-based codes, RFC 6238 with its defaults: SHA-1, 30 seconds, six digits."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

PERIOD = 30


def code(secret: str, *, at: float | None = None) -> str:
    """What an authenticator app shows for this Base32 secret (RFC 4226, §5.3, truncates)."""
    counter = int((time.time() if at is None else at) // PERIOD)
    padded = secret.upper() + "=" * (-len(secret) % 8)
    digest = hmac.new(base64.b32decode(padded), counter.to_bytes(8), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def wait_for_next(code_used: str, secret: str) -> str:
    """The first code after one that was used: each is good once."""
    while (found := code(secret)) == code_used:
        time.sleep(0.5)
    return found
