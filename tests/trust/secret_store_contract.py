"""What every SecretStore must do. A test module imports these tests and provides `store`.

from tests.trust.secret_store_contract import *  # noqa: F403

@pytest.fixture
def store(): ...
"""

import logging
import os

import pytest

from apps.trust.errors import SecretNotFound
from apps.trust.secrets import MAX_REF, SecretStore

VALUE = b"hunter2-hunter2-hunter2"
NEXT = b"correct-horse-battery"


def test_a_value_comes_back_as_it_went_in(store: SecretStore) -> None:
    values = {"a": b"", "b/c": b"\0\xff", "b/d": os.urandom(50_000), "x-1_2.3": VALUE}

    assert [store.put(ref, value) for ref, value in values.items()] == [1, 1, 1, 1]
    assert {ref: store.get(ref) for ref in values} == values


def test_the_only_value_of_a_reference_is_like_the_first_of_many(store: SecretStore) -> None:
    store.add("runs/one", VALUE)
    store.add("runs/two", NEXT)
    assert (store.get("runs/one"), store.get("runs/two", 1)) == (VALUE, NEXT)
    assert store.put("runs/one", NEXT) == 2


def test_putting_again_makes_a_version_and_keeps_the_older(store: SecretStore) -> None:
    assert store.put("credentials/mail", VALUE) == 1
    assert store.put("credentials/mail", NEXT) == 2

    assert store.get("credentials/mail") == NEXT
    assert store.get("credentials/mail", 1) == VALUE
    assert store.versions("credentials/mail") == [1, 2]


def test_rotating_keeps_the_replaced_version_and_destroys_the_older(store: SecretStore) -> None:
    store.put("r", b"first")
    store.put("r", b"second")

    assert store.rotate("r", b"third") == 3
    assert store.versions("r") == [2, 3]
    assert (store.get("r"), store.get("r", 2)) == (b"third", b"second")
    with pytest.raises(SecretNotFound):
        store.get("r", 1)


def test_an_unknown_secret_is_not_found_by_any_verb(store: SecretStore) -> None:
    store.put("known", VALUE)

    assert store.versions("unknown") == []
    for use in (
        lambda: store.get("unknown"),
        lambda: store.get("known", 2),
        lambda: store.get("known", 0),
        lambda: store.rotate("unknown", VALUE),
        lambda: store.delete("unknown"),
        lambda: store.delete("known", 2),
    ):
        with pytest.raises(SecretNotFound):
            use()
    assert store.get("known") == VALUE
    assert store.versions("unknown") == []


def test_a_deleted_secret_is_gone_and_its_neighbour_is_not(store: SecretStore) -> None:
    store.put("gone", VALUE)
    store.put("gone", NEXT)
    store.put("gone/below", VALUE)

    store.delete("gone")

    assert store.versions("gone") == []
    with pytest.raises(SecretNotFound):
        store.get("gone", 1)
    assert store.get("gone/below") == VALUE


def test_the_number_of_a_deleted_version_is_never_given_again(store: SecretStore) -> None:
    store.put("v", VALUE)
    store.put("v", VALUE)

    store.delete("v", 2)

    assert store.versions("v") == [1]
    assert store.put("v", NEXT) == 3
    with pytest.raises(SecretNotFound):
        store.get("v", 2)


@pytest.mark.parametrize(
    "ref", ["", "/", "/a", "a/", "a//b", "../a", "A", "a b", "a\n", "é", "a?b"]
)
def test_a_malformed_reference_is_refused(store: SecretStore, ref: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        store.put(ref, VALUE)


def test_the_longest_reference_fits(store: SecretStore) -> None:
    assert store.put("r" * MAX_REF, VALUE) == 1
    with pytest.raises(ValueError, match="reference"):
        store.put("r" * (MAX_REF + 1), VALUE)


def test_no_value_shows_in_a_repr_a_log_or_an_error(
    store: SecretStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store.put("quiet", VALUE)
    store.rotate("quiet", NEXT)
    store.get("quiet")
    with pytest.raises(SecretNotFound) as missing:
        store.get("quiet", 9)
    with pytest.raises(ValueError, match="reference") as malformed:
        store.put("Not A Ref", VALUE)

    shown = " ".join(map(repr, (store, caplog.records, missing.value, malformed.value)))
    shown += caplog.text + str(missing.value.extra)
    assert VALUE.decode() not in shown
    assert NEXT.decode() not in shown
