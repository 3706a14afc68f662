"""What stands in the tree for each thing on record, as mathematics.

An audit event stands there by its hash in the chain, 32 bytes; any other record by one line of
text that names it and the digest of what it says. No two kinds can be taken for each other: a hash
is shorter than any line.
"""

from __future__ import annotations

from uuid import UUID

from apps.trust.merkle import leaf_hash


def leaf_line(*, kind: str, subject_id: UUID, digest: bytes) -> str:
    """`run 0190f7c2… 9f2c…`: kind, 32 hex digits of the id, 64 of the digest."""
    return f"{kind} {subject_id.hex} {digest.hex()}"


def hash_of_event(chain_hash: bytes) -> bytes:
    return leaf_hash(chain_hash)


def hash_of_leaf(*, kind: str, subject_id: UUID, digest: bytes) -> bytes:
    return leaf_hash(leaf_line(kind=kind, subject_id=subject_id, digest=digest).encode())
