import os

import pytest

from apps.trust.errors import SecretUnreadable
from apps.trust.sealing import KEY_BYTES, MasterKey, MasterKeys, Sealed, new_key, seal, unseal

PLACE = {"org": "a", "ref": "keys/1", "version": 1}
VALUE = b"correct horse battery staple"
KEY = new_key()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("value", [b"", b"\0", VALUE, os.urandom(70_000)], ids=len)
def test_what_is_sealed_opens_in_its_place(value):
    sealed = seal(KEY, value, place=PLACE)

    assert unseal(KEY, sealed, place=PLACE) == value
    assert len(sealed.ciphertext) == len(value) + 16


@pytest.mark.parametrize("moved", [{"org": "b"}, {"ref": "keys/2"}, {"version": 2}, {"more": 1}])
def test_what_is_sealed_does_not_open_in_another_place(moved):
    sealed = seal(KEY, VALUE, place=PLACE)

    with pytest.raises(SecretUnreadable):
        unseal(KEY, sealed, place=PLACE | moved)


def test_neither_another_key_nor_a_changed_bit_opens_it():
    sealed = seal(KEY, VALUE, place=PLACE)
    changed = [Sealed(sealed.nonce, flipped(sealed.ciphertext, i)) for i in range(len(VALUE) + 16)]
    changed += [Sealed(flipped(sealed.nonce, i), sealed.ciphertext) for i in range(12)]
    changed += [Sealed(sealed.nonce, b""), Sealed(b"", sealed.ciphertext)]

    for each in changed:
        with pytest.raises(SecretUnreadable):
            unseal(KEY, each, place=PLACE)
    with pytest.raises(SecretUnreadable):
        unseal(new_key(), sealed, place=PLACE)


def test_one_value_never_seals_the_same_way_twice():
    seals = [seal(KEY, VALUE, place=PLACE) for _ in range(1000)]

    assert len({s.nonce for s in seals}) == len({s.ciphertext for s in seals}) == 1000


def test_a_master_key_is_found_by_the_id_that_follows_from_it():
    old, new = (MasterKey.of(new_key()) for _ in range(2))
    keys = MasterKeys(new, [old])

    assert (keys.current, keys.find(old.id), keys.find(new.id)) == (new, old, new)
    assert MasterKey.of(old.key) == old
    with pytest.raises(SecretUnreadable, match=f"master key {old.id} is not configured"):
        MasterKeys(new).find(old.id)


@pytest.mark.parametrize("size", [0, 16, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_master_key_of_another_size_is_refused_without_being_quoted(size):
    assert MasterKey.of(b"k" * KEY_BYTES)

    with pytest.raises(ValueError, match="^a master key is 32 bytes$"):
        MasterKey.of(b"k" * size)


def test_no_key_or_value_shows_in_a_repr():
    master = MasterKey.of(KEY)
    shown = repr(master) + repr(MasterKeys(master)) + repr(seal(KEY, VALUE, place=PLACE))

    assert repr(KEY) not in shown
    assert "ciphertext" not in shown
    assert master.id in shown
