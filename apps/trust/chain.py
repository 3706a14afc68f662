"""The audit chain as mathematics: how an event hangs on the one before.

Pure, so that a verifier needs nothing but this and the rows. Migration 0002 computes the same
`link` inside Postgres.
"""

from __future__ import annotations

import hashlib
from typing import Final

GENESIS: Final = b""
"""What the first event of a chain has before it."""


def link(*, seq: int, prev: bytes, body: bytes) -> bytes:
    """Hash an event onto its predecessor: SHA-256(0x00 ‖ seq as 8 bytes ‖ prev ‖ body).

    The leading zero is the leaf prefix of RFC 9162 §2.1.1: an event can't be taken for an inner
    node of the tree that is built over the chain.
    """
    return hashlib.sha256(b"\x00" + seq.to_bytes(8, "big") + prev + body).digest()
