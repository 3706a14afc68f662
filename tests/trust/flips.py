"""Flips single bits of what an auditor holds, and tells which of them the verifier missed."""

from __future__ import annotations

import random

from tests.trust.log import Papers


def missed(held: Papers, count: int, chooser: random.Random) -> list[tuple[str, int, int]]:
    """(where, byte, bit) of each flip that nothing was said about; half of them in checkpoints.

    A checkpoint whose signature became that of no known key is told by the summary: a key that was
    revoked looks the same.
    """
    found, before = [], held.summary()
    for turn in range(count):
        name = ("export", "notes")[turn % 2]
        data = getattr(held, name).encode()
        at, bit = chooser.randrange(len(data)), chooser.randrange(8)
        changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        findings, summary = held.check(**{name: changed})
        if not findings and summary == before:
            found.append((name, at, bit))
    return found
