"""Public vectors: C2SP Wycheproof for signatures, cyberphone/json-canonicalization for RFC 8785.

Collected only if the environment names their folder in VECTORS (see conftest.py).
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jose.jws
import pytest
from jose.exceptions import JOSEError

from apps.trust import canonical, jws
from apps.trust.errors import SignatureInvalid
from apps.trust.jwk import FOREIGN, SYMMETRIC, KeyRing, verify_key

FOLDER = Path(os.environ["VECTORS"])
EVERY = FOREIGN | SYMMETRIC
SIGNATURES = "json_web_signature_test"
# Byte for byte the valid vector 357: errors of the corpus.
MISLABELLED = {(SIGNATURES, 367), (SIGNATURES, 370)}
# Called valid by the corpus, refused by us on purpose.
STRICTER = {
    (SIGNATURES, 346): "the header's PS384 is not the key's PS256",
    (SIGNATURES, 350): "the header's PS384 is not the key's PS256",
    (SIGNATURES, 347): "the key's ES521 is no algorithm",
    (SIGNATURES, 351): "the key's ES521 is no algorithm",
    (SIGNATURES, 372): "a character outside base64url in the header",
    (SIGNATURES, 373): "a character outside base64url in the payload",
}


@dataclass(frozen=True)
class Vector:
    name: tuple[str, int]
    jwks: list[dict[str, Any]]
    token: str
    valid: bool


def vectors(name: str) -> Iterator[Vector]:
    corpus = json.loads((FOLDER / "wycheproof" / f"{name}.json").read_text())
    for group in corpus["testGroups"]:
        keys = group.get("public") or group["private"]
        for test in group["tests"]:
            if isinstance(test.get("jws"), str) and (name, test["tcId"]) not in MISLABELLED:
                jwks = keys.get("keys", [keys])
                yield Vector((name, test["tcId"]), jwks, test["jws"], test["result"] == "valid")


ALL = [v for name in ("signature", "key", "crypto") for v in vectors(f"json_web_{name}_test")]


def accepts(vector: Vector) -> bool:
    try:
        jws.verify_compact(vector.token, keys=KeyRing.from_jwks(vector.jwks, algorithms=EVERY))
    except SignatureInvalid:
        return False
    return True


def jose_accepts(vector: Vector) -> bool:
    """python-jose as its callers use it: the one key, and that key's algorithm."""
    key = vector.jwks[0]
    try:
        jose.jws.verify(vector.token, key, algorithms=[key.get("alg", "ES256")])
    except (JOSEError, ValueError, TypeError):
        return False
    return True


def is_pss(vector: Vector) -> bool:
    """RSASSA-PSS, which python-jose doesn't know."""
    return vector.jwks[0].get("alg", "").startswith("PS")


def jose_accepts_after_precheck(vector: Vector) -> bool:
    try:
        key = verify_key(vector.jwks[0], algorithms=EVERY)
        jws.strict_precheck(vector.token, algorithms=[key.alg])
    except SignatureInvalid:
        return False
    return jose_accepts(vector)


def test_no_wycheproof_vector_is_accepted_that_must_be_refused(capsys):
    false_accepts = [v.name for v in ALL if not v.valid and accepts(v)]
    accepted = [v for v in ALL if v.valid and accepts(v)]

    with capsys.disabled():
        counts = f"{len(false_accepts)} false accepts, {len(accepted)} valid accepted"
        print(f"\nwycheproof: {len(ALL)} vectors, {counts}")
    assert false_accepts == []
    assert len(ALL) > 400


def test_every_valid_vector_is_accepted_but_those_we_refuse_on_purpose():
    refused = {v.name for v in ALL if v.valid and not accepts(v)}

    assert refused == set(STRICTER)


def test_python_jose_refuses_all_that_it_must_once_the_precheck_stands_before_it(capsys):
    corpus = [v for v in ALL if v.name[0] == SIGNATURES]
    alone = [v.name for v in corpus if not v.valid and jose_accepts(v)]
    checked = [v.name for v in corpus if not v.valid and jose_accepts_after_precheck(v)]
    refused = {v.name for v in corpus if v.valid and not jose_accepts_after_precheck(v)}

    with capsys.disabled():
        print(f"\npython-jose: {len(alone)} false accepts alone, {len(checked)} after the precheck")
    assert checked == []
    assert alone != []  # else the precheck would be for nothing
    assert refused == set(STRICTER) | {v.name for v in corpus if v.valid and is_pss(v)}


@pytest.mark.parametrize("path", sorted((FOLDER / "jcs" / "input").iterdir()), ids=lambda p: p.stem)
def test_canonical_form_matches_the_reference_byte_for_byte(path):
    expected = (FOLDER / "jcs" / "output" / path.name).read_bytes()

    assert canonical.dumps(canonical.loads(path.read_bytes())) == expected
