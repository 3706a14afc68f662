"""Envelope encryption: a master key wraps each org's data key, which seals the org's secrets.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; a data key seals far fewer than the 2^32
values for which that is safe. Every seal is bound to its place (org, reference, version) as
additional data: a row copied elsewhere doesn't open there. Pure: no database, no settings.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.views.decorators.debug import sensitive_variables

from apps.trust.canonical import dumps
from apps.trust.errors import SecretUnreadable

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value that only the holder of its key can read."""

    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key-encryption key from outside the database; its `id` is derived, so it needs no list."""

    id: str
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes) -> MasterKey:
        """Take a configured key; raises ValueError, which doesn't quote it."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key is {KEY_BYTES} bytes")
        return cls(hmac.digest(key, b"mandate master key id", hashlib.sha256)[:8].hex(), key)


class MasterKeys:
    """The current master key, and earlier ones that may still have to unwrap."""

    def __init__(self, current: MasterKey, earlier: Iterable[MasterKey] = ()) -> None:
        self.current = current
        self._by_id = {key.id: key for key in (*earlier, current)}

    def find(self, key_id: str) -> MasterKey:
        """Find the key that wrapped something; raises SecretUnreadable if it isn't configured."""
        try:
            return self._by_id[key_id]
        except KeyError:
            raise SecretUnreadable(f"the master key {key_id} is not configured") from None


def new_key() -> bytes:
    """Make a data key."""
    return AESGCM.generate_key(bit_length=KEY_BYTES * 8)


@sensitive_variables()
def seal(key: bytes, value: bytes, *, place: Mapping[str, str | int]) -> Sealed:
    """Seal a value to the one place where it may be opened."""
    nonce = os.urandom(NONCE_BYTES)
    return Sealed(nonce, AESGCM(key).encrypt(nonce, value, dumps(dict(place))))


@sensitive_variables()
def unseal(key: bytes, sealed: Sealed, *, place: Mapping[str, str | int]) -> bytes:
    """Open what `seal` closed.

    Raises SecretUnreadable: another key, another place, or bytes that were changed.
    """
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, dumps(dict(place)))
    except (InvalidTag, ValueError):
        raise SecretUnreadable("the sealed value does not open here") from None
