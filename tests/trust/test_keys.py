from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django_fsm import TransitionNotAllowed

from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.fsm import transition_table
from apps.trust import jws, selectors
from apps.trust.errors import NoSigningKey, SecretNotFound, SignatureInvalid, SigningKeyPending
from apps.trust.jwk import KeyRing, Signer
from apps.trust.models import AuditEvent, SigningKey
from apps.trust.secrets import get_secret_store
from apps.trust.services import (
    create_signing_key,
    get_signers,
    revoke_signing_key,
    rotate_signing_key,
)

State = SigningKey.State
AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = AT + timedelta(days=90)
ANA = Actor(ActorType.USER, "mem_1", "Ana")
VERBS = {
    "activate": {State.NEXT: State.ACTIVE},
    "retire": {State.ACTIVE: State.VERIFY_ONLY},
    "revoke": dict.fromkeys((State.NEXT, State.ACTIVE, State.VERIFY_ONLY), State.REVOKED),
}


@pytest.fixture
def keyless(org):
    """The org without any key, whatever its provisioning made."""
    SigningKey.objects.all().delete()
    return org


def create(at=AT):
    return create_signing_key(actor=ANA, at=at)


def rotate(at=LATER):
    return rotate_signing_key(actor=ANA, at=at)


def revoke(key, at=LATER):
    return revoke_signing_key(key_id=key.id, actor=ANA, at=at, reason="leaked")


def states():
    return dict(SigningKey.objects.values_list("kid", "state"))


def recorded():
    events = AuditEvent.objects.filter(subject_type="signing_key", actor_id=ANA.id).order_by("seq")
    return [(e.action.rpartition(".")[2], e.subject_id) for e in events]


def activated():
    """What the log says that each key was before it was active."""
    events = AuditEvent.objects.filter(action="trust.signing_key.activated")
    return {e.subject_id: e.detail.get("old") or {} for e in events if e.actor_id == ANA.id}


def test_the_machine_has_these_arrows_and_no_other():
    drawn = transition_table(SigningKey, "state")

    assert drawn == {(s, verb): VERBS[verb].get(s) for s, verb in product(State.values, VERBS)}


@pytest.mark.parametrize(("state", "verb"), list(product(State, VERBS)))
def test_every_transition_from_every_state(state, verb):
    key = SigningKey(kid="k", state=state, secret_ref="r")
    target = VERBS[verb].get(state)

    if target is None:
        with pytest.raises(TransitionNotAllowed):
            getattr(key, verb)(at=AT)
        assert (key.state, key.secret_ref) == (state, "r")
    else:
        getattr(key, verb)(at=AT)
        assert key.state == target
        assert (key.secret_ref == "") == (target in (State.VERIFY_ONLY, State.REVOKED))


def test_the_state_is_set_by_transitions_only():
    key = SigningKey(kid="k")

    with pytest.raises(AttributeError):
        key.state = State.REVOKED
    assert key.state == State.NEXT


def test_the_first_key_is_active_at_once_and_the_second_waits(keyless):
    first, second = create(), create()

    assert states() == {first.kid: State.ACTIVE, second.kid: State.NEXT}
    assert (first.activated_at, second.activated_at) == (AT, None)
    assert SigningKey.objects.get(state=State.ACTIVE) == first
    assert recorded() == [("created", first.kid), ("created", second.kid)]


def test_a_third_key_must_wait_for_the_second(keyless):
    create(), create()
    before = states()

    with pytest.raises(SigningKeyPending):
        create()
    assert states() == before
    assert len(recorded()) == 2


def test_a_kid_is_the_thumbprint_of_the_published_key(keyless):
    key = create()

    assert key.public_jwk == Signer(get_signers()[0].key).public_jwk
    assert key.kid == key.public_jwk["kid"] == get_signers()[0].key.thumbprint()
    assert set(key.public_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_the_private_part_is_in_the_secret_store_alone(keyless):
    key = create()
    der = get_secret_store().get(key.secret_ref)

    assert Signer.from_private_bytes(der).kid == key.kid
    assert "d" not in key.public_jwk


def test_rotation_lets_the_next_key_take_over(keyless):
    old, waiting = create(), create()
    new = rotate()

    assert new == waiting
    assert states() == {old.kid: State.VERIFY_ONLY, new.kid: State.ACTIVE}
    old.refresh_from_db()
    assert (old.retired_at, old.secret_ref, new.activated_at) == (LATER, "", LATER)
    assert recorded()[2:] == [("retired", old.kid), ("activated", new.kid)]


def test_rotation_makes_the_key_that_was_not_waiting(keyless):
    old = create()
    new = rotate()

    assert states() == {old.kid: State.VERIFY_ONLY, new.kid: State.ACTIVE}
    assert [signer.kid for signer in get_signers()] == [new.kid]
    assert activated() == {new.kid: {}}


def test_rotation_gives_an_org_without_keys_its_first(keyless):
    assert states() == {}
    new = rotate()

    assert states() == {new.kid: State.ACTIVE}
    assert recorded() == [("activated", new.kid)]


def test_a_key_that_stepped_down_can_never_sign_again(keyless):
    old = create()
    ref = old.secret_ref
    assert get_secret_store().get(ref)
    rotate()

    with pytest.raises(SecretNotFound):
        get_secret_store().get(ref)


def test_documents_outlive_rotation_but_not_revocation(keyless):
    old = create()
    signed = jws.sign_compact({"a": 1}, signer=get_signers()[0])
    rotate()
    assert jws.verify_compact(
        signed, keys=KeyRing.from_jwks(selectors.jwks()["keys"])
    ).document() == {"a": 1}

    revoke(old)

    with pytest.raises(SignatureInvalid):
        jws.verify_compact(signed, keys=KeyRing.from_jwks(selectors.jwks()["keys"]))


def test_while_a_key_waits_documents_carry_both_signatures(keyless):
    active, waiting = create(), create()

    assert [signer.kid for signer in get_signers()] == [active.kid, waiting.kid]
    signatures = jws.sign_detached({"a": 1}, signers=get_signers())
    for key in (active, waiting):
        ring = jws.KeyRing.from_jwks([key.public_jwk])
        assert jws.verify_detached({"a": 1}, signatures, keys=ring)[0].kid == key.kid


def test_revoking_the_active_key_leaves_the_org_able_to_sign(keyless):
    leaked, waiting = create(), create()
    revoke(leaked)

    assert states() == {leaked.kid: State.REVOKED, waiting.kid: State.ACTIVE}
    assert [signer.kid for signer in get_signers()] == [waiting.kid]

    revoke(waiting)

    heir = SigningKey.objects.get(state=State.ACTIVE)
    assert heir.kid not in (leaked.kid, waiting.kid)
    assert [signer.kid for signer in get_signers()] == [heir.kid]
    assert activated() == {waiting.kid: {"state": "next"}, heir.kid: {}}


def test_revoking_records_the_reason_and_only_once(keyless):
    key = create()
    revoke(key)
    count = len(recorded())
    revoke(key, LATER + timedelta(1))

    assert len(recorded()) == count
    key.refresh_from_db()
    assert key.revoked_at == LATER
    event = AuditEvent.objects.get(action="trust.signing_key.revoked", subject_id=key.kid)
    assert event.detail == {
        "old": {"state": "active"},
        "new": {"state": "revoked"},
        "reason": "leaked",
    }


def test_an_unknown_key_can_not_be_revoked(keyless):
    create()
    before = states()

    with pytest.raises(NotFound):
        revoke_signing_key(key_id=UUID(int=1), actor=ANA, at=AT, reason="?")
    assert states() == before


def test_an_org_without_a_key_can_not_sign(keyless):
    with pytest.raises(NoSigningKey):
        get_signers()
    create()
    assert len(get_signers()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "active", "activated_at": AT},
        {"state": "lost"},
        {"state": "next", "activated_at": AT},
        {"state": "verify_only", "secret_ref": ""},
        {"state": "verify_only", "retired_at": AT},
        {"state": "revoked", "secret_ref": ""},
        {"state": "next", "secret_ref": ""},
    ],
    ids=str,
)
def test_the_database_refuses_states_that_contradict_themselves(keyless, wrong):
    create()
    before = states()
    row = {"kid": "k", "public_jwk": {}, "created_at": AT, "secret_ref": "r"}

    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.create(**(row | wrong))
    assert states() == before
    SigningKey.objects.create(**row)


def test_the_key_set_holds_every_key_that_may_be_believed(keyless):
    retired = create()
    active = rotate()
    waiting = create(LATER)
    gone = retired

    kids = [key["kid"] for key in selectors.jwks()["keys"]]
    assert sorted(kids) == sorted([retired.kid, active.kid, waiting.kid])
    assert all(set(key).isdisjoint({"d", "k", "p", "q"}) for key in selectors.jwks()["keys"])

    revoke(gone)

    assert {key["kid"] for key in selectors.jwks()["keys"]} == {active.kid, waiting.kid}
