"""The text of an API key: random, checkable without a database, known to secret scanners.

`mnd_` + 36 base62 characters (214 bits) + 6 of checksum. The prefix lets scanners find a leaked key
and the checksum (CRC-32 of what precedes it, base62) tells it from look-alikes; neither is a
secret. With that much entropy a plain SHA-256 is enough to store: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "mnd_"
SHOWN: Final = 12
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM: Final = 36
_CHECK: Final = 6
_TOKEN: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECK}}}")


def new_token() -> str:
    """Make a key; the caller shows it once and stores `hash_of` it."""
    body = PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM))
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether the text can be a key of ours at all; saves the database most nonsense."""
    return _TOKEN.fullmatch(text) is not None and _checksum(text[:-_CHECK]) == text[-_CHECK:]


def hash_of(token: str) -> bytes:
    """What is stored and looked up in a token's place."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits
