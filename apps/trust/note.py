"""Checkpoints as text that other tools read: signed notes of a tree's head.

C2SP tlog-checkpoint (origin, size, root; one a line) in a C2SP signed-note. Our keys are ECDSA
P-256 (signature type 0x02): a signature is DER over SHA-256 of the text, and its key ID the first
four bytes of SHA-256 of the key's SPKI in DER. Signatures by keys that a reader doesn't hold are
passed over, which is how a note outlives the rotation of its keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.trust.errors import Reason, SignatureInvalid
from apps.trust.jwk import Signer, b64url_decode
from apps.trust.merkle import HASH

_ALGORITHM: Final = ec.ECDSA(hashes.SHA256())
_KEY_ID: Final = 4  # bytes
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME: Final = re.compile(r"[^\s+]+")


@dataclass(frozen=True, slots=True)
class Head:
    """A tree's head: whose, how large, and its root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signed:
    """A head as it was read, with its signatures: (name, key ID, DER)."""

    head: Head
    signatures: tuple[tuple[str, bytes, bytes], ...]


def origin_of(slug: str, org_id: UUID) -> str:
    """The name of an org's log: it says which org, and keeps saying it whatever it is called."""
    return f"mandate/{slug}/{org_id}"


def sign(head: Head, *, signers: Sequence[Signer]) -> str:
    """Write the note of a head, with a signature by each key."""
    lines = []
    for signer in signers:
        private = signer.key.get_op_key("sign")
        signature = private.sign(head.text.encode(), _ALGORITHM)
        packed = key_id(private.public_key()) + signature
        lines.append(f"— {head.origin} {base64.b64encode(packed).decode()}\n")
    return f"{head.text}\n{''.join(lines)}"


def read(note: str) -> Signed:
    """Read a note in its only spelling; raises SignatureInvalid (malformed)."""
    try:
        text, lines = note.split("\n\n")
        origin, size, root = text.split("\n")
        *signatures, after = lines.split("\n")
        if after or not signatures:
            raise ValueError
        return Signed(_head(origin, size, root), tuple(map(_signature, signatures)))
    except ValueError as error:
        raise SignatureInvalid(Reason.MALFORMED, "not a checkpoint") from error


def verify(
    note: str, *, keys: Mapping[bytes, ec.EllipticCurvePublicKey]
) -> tuple[Head, set[bytes]]:
    """The head of a note and the IDs of the keys that did sign it.

    Raises SignatureInvalid: not a note, a signature of a key that is held doesn't verify
    (mismatch), or none is by such a key (key_unknown).
    """
    signed = read(note)
    known = {
        key for name, key, _ in signed.signatures if key in keys and name == signed.head.origin
    }
    for name, key, der in signed.signatures:
        if key in known and name == signed.head.origin:
            _verify(keys[key], der, signed.head.text.encode())
    if not known:
        raise SignatureInvalid(
            Reason.KEY_UNKNOWN, "the checkpoint is signed by no key that is held"
        )
    return signed.head, known


def note_keys(jwks: Sequence[Mapping[str, object]]) -> dict[bytes, ec.EllipticCurvePublicKey]:
    """The keys of a JWK set that can sign notes, by their key ID."""
    keys = [_public(jwk) for jwk in jwks if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256"]
    return {key_id(key): key for key in keys}


def key_id(key: ec.EllipticCurvePublicKey) -> bytes:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()[:_KEY_ID]


def _head(origin: str, size: str, root: str) -> Head:
    head = Head(origin, int(size), _b64decode(root))
    if not (_NAME.fullmatch(origin) and _SIZE.fullmatch(size) and len(head.root) == HASH):
        raise ValueError(origin)
    return head


def _public(jwk: Mapping[str, object]) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(b64url_decode(str(jwk[name]))) for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _signature(line: str) -> tuple[str, bytes, bytes]:
    dash, name, packed = line.split(" ")
    data = _b64decode(packed)
    if dash != "—" or not _NAME.fullmatch(name) or len(data) <= _KEY_ID:
        raise ValueError
    return name, data[:_KEY_ID], data[_KEY_ID:]


def _b64decode(text: str) -> bytes:
    """Standard base64 in its only spelling; raises ValueError for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
    if base64.b64encode(data).decode() != text:
        raise ValueError(text)
    return data


def _verify(key: ec.EllipticCurvePublicKey, der: bytes, text: bytes) -> None:
    try:
        key.verify(der, text, _ALGORITHM)
    except InvalidSignature as error:
        raise SignatureInvalid(Reason.MISMATCH, "the checkpoint's signature is false") from error
