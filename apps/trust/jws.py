"""Signed documents: JWS ES256 over canonical JSON (RFC 7515, RFC 8785).

The one door for signed documents, which nothing in the product makes or takes yet (checkpoints are
notes, `note.py`). Parsing is ours and strict, the mathematics is joserfc's. Every check that needs
no key runs first, in `strict_precheck`, which also has to stand before python-jose wherever the JWT
ecosystem needs that library: alone it accepts what it must refuse.

A signature is no name for a document: (r, n - s) verifies wherever (r, s) does. Name documents by
`canonical.digest`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from apps.trust.canonical import JsonObject, dumps, loads_object
from apps.trust.errors import JsonInvalid, Reason, SignatureInvalid
from apps.trust.jwk import OURS, KeyRing, Signer, b64url_decode, b64url_encode

MAX_HEADER: Final = 2048
MAX_PAYLOAD: Final = 1024 * 1024
MAX_SIGNATURE: Final = 1400  # RSA of 8192 bits
MAX_SIGNATURES: Final = 8
FORBIDDEN_HEADERS: Final = frozenset({"jku", "x5u", "jwk", "x5c", "crit", "b64"})
"""Ways for a document to bring its own key, or to change what its signature means."""


class DetachedSignature(TypedDict):
    """One signature beside its payload, both members base64url (RFC 7515 §7.2.1)."""

    protected: str
    signature: str


class SignedJson(TypedDict):
    """The general JSON serialization (RFC 7515 §7.2.1)."""

    payload: str
    signatures: list[DetachedSignature]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A signature that is well formed; nothing is known yet about its truth."""

    header: JsonObject
    payload: bytes
    signing_input: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """Bytes that the holder of `kid` did sign."""

    kid: str
    header: JsonObject
    payload: bytes

    def document(self) -> JsonObject:
        """Read the payload as the canonical JSON that we sign.

        Raises SignatureInvalid (not_canonical): the signature is true, yet other bytes could have
        meant the same, so a digest of this payload would name nothing.
        """
        try:
            document = loads_object(self.payload)
        except JsonInvalid as error:
            raise SignatureInvalid(Reason.NOT_CANONICAL, error.detail) from error
        if dumps(document) != self.payload:
            raise SignatureInvalid(Reason.NOT_CANONICAL, "the payload is not canonical JSON")
        return document


def sign_compact(document: JsonObject, *, signer: Signer, typ: str = "JOSE") -> str:
    """Sign a document as one `header.payload.signature` text."""
    payload = b64url_encode(dumps(document))
    signed = _sign(payload, signer=signer, typ=typ)
    return f"{signed['protected']}.{payload}.{signed['signature']}"


def sign_json(document: JsonObject, *, signers: Sequence[Signer], typ: str = "JOSE") -> SignedJson:
    """Sign a document by several keys, so that it outlives the retirement of each but the last."""
    signatures = sign_detached(document, signers=signers, typ=typ)
    return {"payload": b64url_encode(dumps(document)), "signatures": signatures}


def sign_detached(
    document: JsonObject, *, signers: Sequence[Signer], typ: str = "JOSE"
) -> list[DetachedSignature]:
    """Make the signatures alone, for documents that carry them beside their own members."""
    payload = b64url_encode(dumps(document))
    return [_sign(payload, signer=signer, typ=typ) for signer in signers]


def verify_compact(token: str, *, keys: KeyRing) -> Verified:
    """Verify a compact JWS by the key that it names; raises SignatureInvalid."""
    parsed = strict_precheck(token, algorithms=keys.algorithms)
    verified = _verify(parsed, keys=keys)
    if verified is None:
        raise SignatureInvalid(Reason.KEY_UNKNOWN, "signed by a key that isn't held")
    return verified


def verify_json(document: str | bytes, *, keys: KeyRing) -> tuple[Verified, ...]:
    """Verify the general JSON serialization; the rule is that of `verify_detached`."""
    try:
        members = loads_object(document, max_bytes=2 * MAX_PAYLOAD)
    except JsonInvalid as error:
        raise SignatureInvalid(Reason.MALFORMED, error.detail) from error
    payload, signatures = members.get("payload"), members.get("signatures")
    if set(members) != {"payload", "signatures"} or not isinstance(payload, str):
        raise SignatureInvalid(Reason.MALFORMED, "payload and signatures expected, nothing else")
    if not isinstance(signatures, list):
        raise SignatureInvalid(Reason.MALFORMED, "signatures is not an array")
    return _verify_all(payload, signatures, keys=keys)


def verify_detached(
    document: JsonObject, signatures: Sequence[object], *, keys: KeyRing
) -> tuple[Verified, ...]:
    """Verify signatures that stand beside the document they sign.

    Believed iff at least one is by a key that we hold and none by such a key fails. Signatures of
    other keys prove nothing and do no harm, but must be well formed: so a document signed by two
    keys during a rotation verifies with either.
    """
    return _verify_all(b64url_encode(dumps(document)), signatures, keys=keys)


def strict_precheck(token: str, *, algorithms: Collection[str] = OURS) -> Parsed:
    """Refuse every compact JWS that could be read in two ways or that brings its own key.

    Three parts in the one spelling of base64url, sizes, a protected header that is a JSON object
    without duplicate members, an `alg` out of `algorithms`, none of FORBIDDEN_HEADERS, a signature.
    It says nothing about truth: a verifier must follow. Raises SignatureInvalid.
    """
    if len(token) > MAX_HEADER + MAX_PAYLOAD * 4 // 3 + MAX_SIGNATURE + 4:
        raise SignatureInvalid(Reason.TOO_LARGE, "the token is too large")
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureInvalid(Reason.MALFORMED, "not three parts")
    return _parse(*parts, algorithms=algorithms)


def strict_precheck_jwt(token: str, *, algorithms: Collection[str]) -> JsonObject:
    """The same for a JWT, whose payload is read strictly too; returns its unverified claims."""
    parsed = strict_precheck(token, algorithms=algorithms)
    try:
        return loads_object(parsed.payload)
    except JsonInvalid as error:
        raise SignatureInvalid(Reason.MALFORMED, error.detail) from error


def _sign(payload: str, *, signer: Signer, typ: str) -> DetachedSignature:
    protected = b64url_encode(dumps({"alg": "ES256", "kid": signer.kid, "typ": typ}))
    signature = JWSRegistry.algorithms["ES256"].sign(f"{protected}.{payload}".encode(), signer.key)
    return {"protected": protected, "signature": b64url_encode(signature)}


def _verify_all(
    payload: str, signatures: Sequence[object], *, keys: KeyRing
) -> tuple[Verified, ...]:
    if not 0 < len(signatures) <= MAX_SIGNATURES:
        raise SignatureInvalid(Reason.MALFORMED, f"1 to {MAX_SIGNATURES} signatures expected")
    parsed = [_parse_member(payload, member) for member in signatures]
    verified = [found for each in parsed if (found := _verify(each, keys=keys))]
    if not verified:
        raise SignatureInvalid(Reason.KEY_UNKNOWN, "signed by no key that is held")
    if len({each.kid for each in verified}) != len(verified):
        raise SignatureInvalid(Reason.MALFORMED, "one key signed twice")
    return tuple(verified)


def _parse_member(payload: str, member: object) -> Parsed:
    """Parse one entry of `signatures`; an unprotected `header` has no place in it."""
    if not isinstance(member, Mapping) or set(member) != {"protected", "signature"}:
        raise SignatureInvalid(Reason.MALFORMED, "protected and signature expected, nothing else")
    protected, signature = member["protected"], member["signature"]
    if not isinstance(protected, str) or not isinstance(signature, str):
        raise SignatureInvalid(Reason.MALFORMED, "protected and signature are texts")
    return _parse(protected, payload, signature, algorithms=None)


def _parse(
    protected: str, payload: str, signature: str, *, algorithms: Collection[str] | None
) -> Parsed:
    if len(protected) > MAX_HEADER or len(signature) > MAX_SIGNATURE:
        raise SignatureInvalid(Reason.TOO_LARGE, "the header or the signature is too large")
    if len(payload) > MAX_PAYLOAD * 4 // 3 + 2:
        raise SignatureInvalid(Reason.TOO_LARGE, "the payload is too large")
    try:
        header = loads_object(b64url_decode(protected))
        parsed = Parsed(
            header=header,
            payload=b64url_decode(payload),
            signing_input=f"{protected}.{payload}".encode(),
            signature=b64url_decode(signature),
        )
    except (ValueError, JsonInvalid) as error:
        raise SignatureInvalid(Reason.MALFORMED, str(error)) from error
    _check_header(parsed, algorithms)
    return parsed


def _check_header(parsed: Parsed, algorithms: Collection[str] | None) -> None:
    alg, kid = parsed.header.get("alg"), parsed.header.get("kid")
    if found := FORBIDDEN_HEADERS & set(parsed.header):
        raise SignatureInvalid(Reason.HEADER, f"the header may not hold {min(found)}")
    if not isinstance(alg, str) or alg.lower() == "none":
        raise SignatureInvalid(Reason.ALGORITHM, "the header names no algorithm")
    if algorithms is not None and alg not in algorithms:
        raise SignatureInvalid(Reason.ALGORITHM, "the algorithm is not accepted here")
    if kid is not None and not isinstance(kid, str):
        raise SignatureInvalid(Reason.HEADER, "kid is not a text")
    if not parsed.signature:
        raise SignatureInvalid(Reason.MALFORMED, "the signature is empty")


def _verify(parsed: Parsed, *, keys: KeyRing) -> Verified | None:
    """Hold one signature against the key it names; None if that key isn't held."""
    kid = parsed.header.get("kid")
    held = keys.find(kid) if isinstance(kid, str) else None
    if held is None:
        return None
    if parsed.header["alg"] != held.alg:
        raise SignatureInvalid(Reason.ALGORITHM, "not the algorithm of the key")
    try:
        algorithm = JWSRegistry.algorithms[held.alg]
        genuine = algorithm.verify(parsed.signing_input, parsed.signature, held.key)
    except (JoseError, ValueError) as error:
        raise SignatureInvalid(Reason.MISMATCH, "the signature can't be checked") from error
    if not genuine:
        raise SignatureInvalid(Reason.MISMATCH, "the signature doesn't fit the document")
    return Verified(kid=held.kid, header=parsed.header, payload=parsed.payload)
