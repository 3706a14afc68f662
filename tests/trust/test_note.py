"""Checkpoints as signed notes: read and verified in one spelling only."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from apps.trust import note
from apps.trust.errors import Reason, SignatureInvalid
from apps.trust.jwk import Signer
from apps.trust.note import Head

OLD, NEW, FOREIGN = Signer.generate(), Signer.generate(), Signer.generate()
HEAD = Head("mandate/acme/0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e11", 20852163, bytes(range(32)))


def keys(*signers):
    return note.note_keys([signer.public_jwk for signer in signers])


def refused(text, held):
    with pytest.raises(SignatureInvalid) as caught:
        note.verify(text, keys=held)
    return caught.value.reason


def test_a_note_has_the_form_of_c2sp():
    text = note.sign(HEAD, signers=[NEW])
    body, _, line = text.partition("\n\n")
    dash, name, packed = line.rstrip("\n").split(" ")

    assert body == f"{HEAD.origin}\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert (dash, name) == ("—", HEAD.origin)
    der = NEW.key.as_der(private=False)
    assert load_der_public_key(der)
    assert base64.b64decode(packed)[:4] == hashlib.sha256(der).digest()[:4]


def test_whoever_holds_one_of_the_keys_believes_it():
    text = note.sign(HEAD, signers=[OLD, NEW])

    assert note.verify(text, keys=keys(OLD))[0] == HEAD
    assert note.verify(text, keys=keys(NEW))[0] == HEAD
    assert note.verify(text, keys=keys(OLD, NEW, FOREIGN)) == (HEAD, set(keys(OLD, NEW)))


def test_whoever_holds_none_does_not():
    assert refused(note.sign(HEAD, signers=[OLD]), keys(FOREIGN)) == Reason.KEY_UNKNOWN
    assert refused(note.sign(HEAD, signers=[OLD]), {}) == Reason.KEY_UNKNOWN


def test_a_false_signature_beside_a_true_one_is_noticed():
    true = note.sign(HEAD, signers=[OLD])
    other = note.sign(Head(HEAD.origin, 7, HEAD.root), signers=[NEW])
    mixed = true + other.partition("\n\n")[2]

    assert refused(mixed, keys(OLD, NEW)) == Reason.MISMATCH
    assert note.verify(mixed, keys=keys(OLD))[0] == HEAD


def test_a_signature_under_another_name_is_nobodys():
    text = note.sign(HEAD, signers=[OLD]).replace("— mandate/acme", "— mandate/evil")

    assert refused(text, keys(OLD)) == Reason.KEY_UNKNOWN


def test_no_byte_of_a_note_can_be_another():
    text = note.sign(HEAD, signers=[OLD]).encode()
    held = keys(OLD)
    missed = []
    for at in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[at] ^= 1 << bit
            try:
                note.verify(changed.decode(), keys=held)
                missed.append((at, bit))
            except (SignatureInvalid, UnicodeDecodeError):
                pass
    assert missed == []
    assert note.verify(text.decode(), keys=held)[0] == HEAD


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.rstrip("\n"),
        lambda t: t + "\n",
        lambda t: t.replace("\n20852163", "\n020852163"),
        lambda t: t.replace("\n\n", "\nextension\n\n"),
        lambda t: t.replace("\n\n", "\n"),
        lambda t: t.partition("\n\n")[0] + "\n\n",
        lambda t: t.replace("—", "-"),
        lambda t: t.replace("=\n\n", "\n\n"),
        lambda t: t.replace("mandate/acme", "mandate acme"),
    ],
)
def test_another_spelling_is_no_note(change):
    assert refused(change(note.sign(HEAD, signers=[OLD])), keys(OLD)) == Reason.MALFORMED
