"""What a stranger may fetch from an org's host: its public keys, and nothing of another org."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.common.actors import SYSTEM
from apps.tenants import keys
from apps.trust import jws
from apps.trust.jwk import KeyRing
from apps.trust.models import SigningKey
from apps.trust.services import get_signers, revoke_signing_key, rotate_signing_key

PATH = "/.well-known/jwks.json"


def fetch(slug, method="get"):
    with keys.holding():
        return getattr(Client(), method)(PATH, headers={"host": f"{slug}.localhost"})


def published(slug="acme"):
    return [key["kid"] for key in fetch(slug).json()["keys"]]


def test_a_new_org_publishes_the_key_that_it_was_given(org):
    (key,) = SigningKey.objects.all()
    answer = fetch("acme")

    assert answer.status_code == 200
    assert answer.json() == {"keys": [key.public_jwk]}
    assert answer["Content-Type"] == "application/jwk-set+json"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert answer["Access-Control-Allow-Origin"] == "*"


def test_a_verifier_needs_the_published_set_and_nothing_else(org):
    signed = jws.sign_compact({"a": 1}, signer=get_signers()[0])

    ring = KeyRing.from_jwks(fetch("acme").json()["keys"])
    assert jws.verify_compact(signed, keys=ring).document() == {"a": 1}
    with pytest.raises(jws.SignatureInvalid):
        jws.verify_compact(signed, keys=KeyRing.from_jwks(fetch("globex").json()["keys"]))


def test_a_rotated_key_stays_published_and_a_revoked_one_does_not(org):
    (old,) = SigningKey.objects.all()
    new = rotate_signing_key(actor=SYSTEM, at=timezone.now() + timedelta(minutes=1))
    assert published() == [old.kid, new.kid]

    revoke_signing_key(key_id=old.id, actor=SYSTEM, at=timezone.now(), reason="leaked")

    assert published() == [new.kid]


def test_each_org_publishes_its_own_keys_only(org):
    assert published("acme") == [get_signers()[0].kid]
    assert set(published("acme")).isdisjoint(published("globex"))
    assert published("globex") != []


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_set_can_only_be_read(org, method):
    before = published()

    assert fetch("acme", "head").status_code == 200
    assert fetch("acme", method).status_code == 405
    assert published() == before


def test_fetching_leaves_the_orgs_rows_locked_behind_it(org):
    with keys.holding():
        Client().get(PATH, headers={"host": "acme.localhost"})
        assert keys.current().org_id is None
