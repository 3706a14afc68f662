"""Keys that may verify or sign, and the checks that a key passes before it does.

The key decides the algorithm, never the document (RFC 8725 §3.1): a key enters with exactly one
algorithm, and only members that this module knows reach the cryptography.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry

from apps.trust.errors import Reason, SignatureInvalid

OURS: Final = frozenset({"ES256"})
"""What we sign with, and all that our own documents may be signed with."""
FOREIGN: Final = frozenset(
    {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)
"""What an identity provider or a partner may sign with: anything asymmetric that still holds."""
SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})

_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_COORDINATE: Final = {"ES256": 32, "ES384": 48, "ES512": 66}  # octets
_MEMBERS: Final = {"EC": ("x", "y"), "RSA": ("n", "e"), "oct": ("k",)}
_USUAL: Final = {**{alg: ("EC", crv) for alg, crv in _CURVES.items()}, "RS256": ("RSA", None)}
_RSA_BITS: Final = range(2048, 8192 + 1)
# The smallest odd primes: an RSA modulus of the broken library is a power of 65537 modulo each.
_ROCA_PRIMES: Final = (
    *(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73),
    *(79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167),
)
_ROCA_RESIDUES: Final = {p: {pow(65537, k, p) for k in range(p)} for p in _ROCA_PRIMES}
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A key that was found fit for one algorithm."""

    kid: str
    alg: str
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """The private half of a P-256 key; its `kid` is its RFC 7638 thumbprint."""

    key: ECKey = field(repr=False)

    @classmethod
    def generate(cls) -> Signer:
        return cls(ECKey.generate_key("P-256"))

    @classmethod
    def from_private_bytes(cls, der: bytes) -> Signer:
        """Read back what `private_bytes` gave (PKCS #8, DER)."""
        private = load_der_private_key(der, password=None)
        return cls(ECKey.import_key(cast(EllipticCurvePrivateKey, private)))

    @property
    def kid(self) -> str:
        return self.key.thumbprint()

    @property
    def private_bytes(self) -> bytes:
        return self.key.as_der(private=True)

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public half as it is published (RFC 7517)."""
        public = cast("dict[str, str]", self.key.as_dict(private=False))
        point = {name: public[name] for name in ("kty", "crv", "x", "y")}
        return {**point, "kid": self.kid, "use": "sig", "alg": "ES256"}


class KeyRing:
    """The keys that a verifier holds, by `kid`.

    One name may mean one key only, and shared secrets don't mix with public keys: otherwise a
    public key could be passed off as somebody's shared secret (RFC 8725 §2.1).
    """

    def __init__(self, keys: Iterable[VerifyKey]) -> None:
        held = list(keys)
        self._keys = {key.kid: key for key in held}
        if len(self._keys) != len(held):
            raise _unusable("another one has its kid")
        if len({key.alg in SYMMETRIC for key in held}) > 1:
            raise _unusable("shared secrets stand among public keys")

    @classmethod
    def from_jwks(
        cls, jwks: Iterable[Mapping[str, object]], *, algorithms: Collection[str] = OURS
    ) -> KeyRing:
        """Take the fit keys of a set and pass over the others, as RFC 7517 §5 asks.

        A name given twice spoils the set even if one of its keys is unfit: the signer may have
        meant that one.
        """
        published = list(jwks)
        _check_names(published)
        usable: list[VerifyKey] = []
        for jwk in published:
            with suppress(SignatureInvalid):
                usable.append(verify_key(jwk, algorithms=algorithms))
        return cls(usable)

    def find(self, kid: str) -> VerifyKey | None:
        return self._keys.get(kid)

    @property
    def algorithms(self) -> frozenset[str]:
        return frozenset(key.alg for key in self._keys.values())


def verify_key(jwk: Mapping[str, object], *, algorithms: Collection[str] = OURS) -> VerifyKey:
    """Find a JWK fit to verify with, and fix its algorithm.

    Raises SignatureInvalid (key_unusable): another purpose, an algorithm not asked for or not of
    this kind of key, a point off the curve, a modulus, exponent or secret too small.
    """
    alg, kid = _algorithm(jwk), jwk.get("kid")
    if alg not in algorithms:
        raise _unusable("its algorithm is not accepted here")
    if not isinstance(kid, str) or not kid:
        raise _unusable("it has no kid")
    _check_purpose(jwk)
    return VerifyKey(kid=kid, alg=alg, key=_import(alg, jwk))


def b64url_decode(text: str) -> bytes:
    """Decode base64url in its only spelling (RFC 7515 §2, RFC 4648 §3.5); raises ValueError.

    No padding, no other alphabet, no white space, and the unused bits of the last character are
    zero: else one signature would have many texts.
    """
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url_encode(data) != text:
        raise ValueError("not canonical base64url")
    return data


def b64url_encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _check_names(jwks: Iterable[Mapping[str, object]]) -> None:
    names = [kid for jwk in jwks if isinstance(kid := jwk.get("kid"), str)]
    if len(set(names)) != len(names):
        raise _unusable("another one has its kid")


def _unusable(why: str) -> SignatureInvalid:
    return SignatureInvalid(Reason.KEY_UNUSABLE, f"the key can't be used: {why}")


def _algorithm(jwk: Mapping[str, object]) -> str:
    """Read the key's own algorithm, or the usual one of its kind where it names none."""
    kty, crv = jwk.get("kty"), jwk.get("crv")
    alg = jwk.get("alg", next((a for a, kind in _USUAL.items() if kind == (kty, crv)), None))
    if not isinstance(alg, str) or kty != _kty(alg) or crv != _CURVES.get(alg):
        raise _unusable("its kind and its algorithm don't fit")
    return alg


def _kty(alg: str) -> str | None:
    return {"ES": "EC", "RS": "RSA", "PS": "RSA", "HS": "oct"}.get(alg[:2])


def _check_purpose(jwk: Mapping[str, object]) -> None:
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig":
        raise _unusable("it is not for signatures")
    if not isinstance(operations, list) or "verify" not in operations:
        raise _unusable("it may not verify")


def _import(alg: str, jwk: Mapping[str, object]) -> Any:
    """Import the public members alone, whatever else the document carries."""
    kty, crv = cast("str", jwk["kty"]), _CURVES.get(alg)
    try:
        members = {name: _text(jwk.get(name)) for name in _MEMBERS[kty]}
        _check_strength(alg, {name: b64url_decode(text) for name, text in members.items()})
        return JWKRegistry.import_key({"kty": kty, **members, **({"crv": crv} if crv else {})})
    except (JoseError, ValueError) as error:
        raise _unusable("it is not a valid key") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a member is missing")
    return value


def _check_strength(alg: str, numbers: Mapping[str, bytes]) -> None:
    """RFC 7518: a secret at least as long as its hash (§3.2), RSA of 2048 bits (§3.3), and
    coordinates of the curve's full length (§6.2.1.2), else one key would have two thumbprints.
    """
    if alg in _COORDINATE and {len(number) for number in numbers.values()} != {_COORDINATE[alg]}:
        raise _unusable("a coordinate is not as long as the field")
    if alg in SYMMETRIC and len(numbers["k"]) * 8 < int(alg[2:]):
        raise _unusable("the secret is shorter than the hash")
    if "n" in numbers and _is_weak(*(int.from_bytes(numbers[name]) for name in ("n", "e"))):
        raise _unusable("the RSA key is weak")


def _is_weak(modulus: int, exponent: int) -> bool:
    return modulus.bit_length() not in _RSA_BITS or exponent < 3 or _is_roca(modulus)


def _is_roca(modulus: int) -> bool:
    """Recognise the moduli of CVE-2017-15361, whose private keys can be computed."""
    return all(modulus % p in residues for p, residues in _ROCA_RESIDUES.items())
