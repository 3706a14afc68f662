import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jws import JWSRegistry

from apps.trust import jws
from apps.trust.errors import Reason, SignatureInvalid
from apps.trust.jwk import FOREIGN, SYMMETRIC, KeyRing, Signer, b64url_encode, verify_key

DOCUMENT: dict[str, Any] = {"agent": "écho", "price_micros": 250, "tags": ["a", "b"]}
OURS, OTHER = Signer.generate(), Signer.generate()
RING = KeyRing.from_jwks([OURS.public_jwk])


def forge(header: object, payload: bytes = b"{}", signer: Signer = OURS) -> str:
    """A truly signed token under any header, however bad."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    signing_input = f"{b64url_encode(text)}.{b64url_encode(payload)}"
    signature = JWSRegistry.algorithms["ES256"].sign(signing_input.encode(), signer.key)
    return f"{signing_input}.{b64url_encode(signature)}"


def header(**more: object) -> dict[str, object]:
    return {"alg": "ES256", "kid": OURS.kid, **more}


def refusal(token: str) -> Reason:
    with pytest.raises(SignatureInvalid) as caught:
        jws.verify_compact(token, keys=RING)
    return caught.value.reason


def test_what_was_signed_verifies_and_reads_back():
    verified = jws.verify_compact(jws.sign_compact(DOCUMENT, signer=OURS, typ="x+jws"), keys=RING)

    assert verified.document() == DOCUMENT
    assert verified.kid == OURS.kid
    assert verified.header == {"alg": "ES256", "kid": OURS.kid, "typ": "x+jws"}


def test_a_forged_header_verifies_where_nothing_is_wrong_with_it():
    assert jws.verify_compact(forge(header()), keys=RING).payload == b"{}"


@pytest.mark.parametrize("name", sorted(jws.FORBIDDEN_HEADERS))
def test_a_document_may_not_bring_its_own_key_or_meaning(name):
    assert refusal(forge(header(**{name: OURS.public_jwk}))) is Reason.HEADER


@pytest.mark.parametrize(
    "alg", ["none", "None", "", None, 1, ["ES256"], "es256", "HS256", "RS256", "ES384", "ES256K"]
)
def test_the_algorithm_is_the_keys_and_no_other(alg):
    assert refusal(forge(header(alg=alg))) is Reason.ALGORITHM


def test_an_accepted_algorithm_is_still_refused_if_it_is_another_keys():
    mixed = KeyRing([verify_key(OURS.public_jwk), verify_key(p384("other"), algorithms=FOREIGN)])

    with pytest.raises(SignatureInvalid, match="not the algorithm of the key"):
        jws.verify_compact(forge(header(alg="ES384")), keys=mixed)


@pytest.mark.parametrize(
    "kid", [None, "", "unknown", OTHER.kid], ids=["none", "empty", "unknown", "another's"]
)
def test_a_key_that_is_not_held_is_not_believed(kid):
    assert refusal(forge(header(kid=kid))) is Reason.KEY_UNKNOWN


def test_another_key_under_our_name_is_not_believed():
    assert refusal(forge(header(), signer=OTHER)) is Reason.MISMATCH


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'"ES256"',
        b"{",
        b'{"alg":"ES256","alg":"none"}',
        b'{"alg":"none","\\u0061lg":"ES256"}',
        b"\xff",
    ],
)
def test_a_header_that_is_not_one_plain_object_is_malformed(raw):
    assert refusal(forge(raw)) is Reason.MALFORMED


def test_a_kid_that_is_no_text_is_refused():
    assert refusal(forge(header(kid=1))) is Reason.HEADER


MANGLED: dict[str, Callable[[str], str]] = {
    "empty": lambda t: "",
    "two parts": lambda t: t.rsplit(".", 1)[0],
    "four parts": lambda t: t + ".",
    "no signature": lambda t: t.rsplit(".", 1)[0] + ".",
    "padding": lambda t: t + "==",
    "newline": lambda t: t + "\n",
    "space": lambda t: t.replace(".", ". ", 1),
    "standard alphabet": lambda t: t[:-4] + "+/+/",
    "beyond ascii": lambda t: t[:-1] + "é",
    "fullwidth": lambda t: t[:-1] + "Ａ",  # noqa: RUF001
    "unused bits": lambda t: t[:-1] + chr(ord(t[-1]) + 1),
    "signature too long": lambda t: t + "AAAA",
    "payload changed": lambda t: ".".join(
        (t.split(".")[0], b64url_encode(b"{ }"), t.split(".")[2])
    ),
    "zeros": lambda t: t.rsplit(".", 1)[0] + "." + b64url_encode(bytes(64)),
    "der": lambda t: t.rsplit(".", 1)[0] + "." + b64url_encode(b"0\x06\x02\x01\x01\x02\x01\x01"),
}


@pytest.mark.parametrize("mangle", MANGLED.values(), ids=MANGLED)
def test_a_token_with_anything_changed_is_refused(mangle):
    token = jws.sign_compact(DOCUMENT, signer=OURS)

    assert refusal(mangle(token)) in {Reason.MALFORMED, Reason.MISMATCH}


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_beyond_its_size_is_refused(part):
    parts = jws.sign_compact(DOCUMENT, signer=OURS).split(".")
    parts[part] += "A" * (jws.MAX_PAYLOAD * 4 // 3 + 4)

    assert refusal(".".join(parts)) is Reason.TOO_LARGE


@pytest.mark.parametrize("payload", [b'{"b":1, "a":2}', b'{"a":1,"a":1}', b"[]", b"", b'{"a":1.0}'])
def test_a_payload_that_is_not_canonical_is_no_document(payload):
    verified = jws.verify_compact(forge(header(), payload), keys=RING)

    with pytest.raises(SignatureInvalid) as caught:
        verified.document()
    assert caught.value.reason is Reason.NOT_CANONICAL


def test_several_signatures_verify_by_whichever_keys_are_held():
    text = json.dumps(jws.sign_json(DOCUMENT, signers=[OURS, OTHER]))
    both = KeyRing.from_jwks([OURS.public_jwk, OTHER.public_jwk])

    assert [v.kid for v in jws.verify_json(text, keys=both)] == [OURS.kid, OTHER.kid]
    assert [v.kid for v in jws.verify_json(text, keys=RING)] == [OURS.kid]
    assert jws.verify_json(text, keys=RING)[0].document() == DOCUMENT


def test_signatures_by_strangers_alone_prove_nothing():
    text = json.dumps(jws.sign_json(DOCUMENT, signers=[OTHER]))

    with pytest.raises(SignatureInvalid) as caught:
        jws.verify_json(text, keys=RING)
    assert caught.value.reason is Reason.KEY_UNKNOWN


def test_one_false_signature_of_a_held_key_spoils_a_true_one():
    true, false = jws.sign_json(DOCUMENT, signers=[OURS, OTHER])["signatures"]
    false = {**false, "signature": true["signature"]}
    both = KeyRing.from_jwks([OURS.public_jwk, OTHER.public_jwk])

    assert jws.verify_detached(DOCUMENT, [true], keys=both)[0].kid == OURS.kid
    with pytest.raises(SignatureInvalid) as caught:
        jws.verify_detached(DOCUMENT, [true, false], keys=both)
    assert caught.value.reason is Reason.MISMATCH


SPOILED: dict[str, Callable[[dict[str, Any]], object]] = {
    "unprotected header": lambda d: d["signatures"][0].update(header={"kid": "x"}),
    "no protected": lambda d: d["signatures"][0].pop("protected"),
    "signature no text": lambda d: d["signatures"][0].update(signature=1),
    "signature no object": lambda d: d.update(signatures=["x"]),
    "signatures no array": lambda d: d.update(signatures={}),
    "no signatures": lambda d: d.update(signatures=[]),
    "too many": lambda d: d.update(signatures=d["signatures"] * 9),
    "one key twice": lambda d: d.update(signatures=d["signatures"] * 2),
    "payload no text": lambda d: d.update(payload={}),
    "flattened members": lambda d: d.update(protected="e30"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_the_json_serialization_holds_what_it_must_and_nothing_else(spoil):
    document: dict[str, Any] = json.loads(json.dumps(jws.sign_json(DOCUMENT, signers=[OURS])))
    assert jws.verify_json(json.dumps(document), keys=RING)
    spoil(document)

    with pytest.raises(SignatureInvalid) as caught:
        jws.verify_json(json.dumps(document), keys=RING)
    assert caught.value.reason is Reason.MALFORMED


def test_duplicate_members_of_the_json_serialization_are_refused():
    text = json.dumps(jws.sign_json(DOCUMENT, signers=[OURS]))
    assert jws.verify_json(text, keys=RING)

    with pytest.raises(SignatureInvalid, match="twice"):
        jws.verify_json('{"payload": "e30", ' + text[1:], keys=RING)


def test_a_detached_signature_holds_for_its_document_only():
    signatures = jws.sign_detached(DOCUMENT, signers=[OURS])

    assert jws.verify_detached(DOCUMENT, signatures, keys=RING)[0].kid == OURS.kid
    with pytest.raises(SignatureInvalid):
        jws.verify_detached({**DOCUMENT, "price_micros": 251}, signatures, keys=RING)


def test_the_claims_of_a_foreign_jwt_are_read_strictly():
    token = forge(header(), b'{"iss": "a", "iss": "b"}')
    assert jws.strict_precheck_jwt(forge(header(), b'{"iss": "a"}'), algorithms=["ES256"]) == {
        "iss": "a"
    }

    with pytest.raises(SignatureInvalid) as caught:
        jws.strict_precheck_jwt(token, algorithms=["ES256"])
    assert caught.value.reason is Reason.MALFORMED


def test_a_signer_shows_no_private_part_and_survives_storage():
    restored = Signer.from_private_bytes(OURS.private_bytes)

    assert restored.public_jwk == OURS.public_jwk
    assert restored.kid == OURS.key.thumbprint()
    assert set(OURS.public_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert "key" not in repr(OURS)


def p384(kid: str) -> dict[str, object]:
    from joserfc.jwk import ECKey

    return {**ECKey.generate_key("P-384").as_dict(private=False), "kid": kid}


UNFIT: dict[str, dict[str, object]] = {
    "encryption": {"use": "enc"},
    "may not verify": {"key_ops": ["sign"]},
    "operations no list": {"key_ops": "verify"},
    "no kid": {"kid": None},
    "kid no text": {"kid": 7},
    "other algorithm": {"alg": "ES384"},
    "symmetric": {"alg": "HS256"},
    "unknown algorithm": {"alg": "ES256K"},
    "algorithm no text": {"alg": ["ES256"]},
    "other kind": {"kty": "RSA"},
    "kind no text": {"kty": ["EC"]},
    "other curve": {"crv": "P-384"},
    "curve no text": {"crv": ["P-256"]},
    "off the curve": {"y": OTHER.public_jwk["y"]},
    "coordinate short": {"x": "AQ"},
    "coordinate padded": {"x": OURS.public_jwk["x"] + "="},
    "coordinate missing": {"x": None},
}


@pytest.mark.parametrize("change", UNFIT.values(), ids=UNFIT)
def test_a_key_that_is_not_fit_for_its_algorithm_is_refused(change):
    assert verify_key(OURS.public_jwk, algorithms=FOREIGN | SYMMETRIC).alg == "ES256"

    with pytest.raises(SignatureInvalid) as caught:
        verify_key({**OURS.public_jwk, **change}, algorithms=FOREIGN | SYMMETRIC)
    assert caught.value.reason is Reason.KEY_UNUSABLE


def test_a_key_set_passes_over_what_is_unfit_but_not_over_ambiguity():
    unfit = {**OTHER.public_jwk, "use": "enc"}

    assert KeyRing.from_jwks([OURS.public_jwk, unfit]).find(OTHER.kid) is None
    with pytest.raises(SignatureInvalid):
        KeyRing.from_jwks([OURS.public_jwk, {**unfit, "kid": OURS.kid}])
    with pytest.raises(SignatureInvalid):
        secret = {"kty": "oct", "kid": "s", "alg": "HS256", "k": b64url_encode(bytes(range(32)))}
        KeyRing.from_jwks([OURS.public_jwk, secret], algorithms=FOREIGN | SYMMETRIC)


def rsa_jwk(modulus: int, exponent: int = 65537) -> dict[str, object]:
    numbers = {"n": modulus, "e": exponent}
    members = {k: b64url_encode(v.to_bytes((v.bit_length() + 7) // 8)) for k, v in numbers.items()}
    return {"kty": "RSA", "kid": "r", **members}


def test_a_weak_rsa_key_is_refused():
    primes = math.prod(p for p in range(3, 168) if all(p % d for d in range(2, p)))
    fine = 2**2047 + 977
    roca = pow(65537, 5, primes) + primes * (2**2047 // primes)

    assert verify_key(rsa_jwk(fine), algorithms=FOREIGN).alg == "RS256"
    weak = (
        rsa_jwk(fine, exponent=1),
        rsa_jwk(2**1023 + 977),
        rsa_jwk(2**8200 + 977),
        rsa_jwk(roca),
    )
    for key in weak:
        with pytest.raises(SignatureInvalid, match="weak"):
            verify_key(key, algorithms=FOREIGN)


@pytest.mark.parametrize(("alg", "octets"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_shared_secret_shorter_than_its_hash_is_refused(alg, octets):
    def secret(size: int) -> dict[str, object]:
        return {"kty": "oct", "kid": "s", "alg": alg, "k": b64url_encode(bytes(range(1, size + 1)))}

    assert verify_key(secret(octets), algorithms=SYMMETRIC).alg == alg
    with pytest.raises(SignatureInvalid, match="shorter"):
        verify_key(secret(octets - 1), algorithms=SYMMETRIC)
