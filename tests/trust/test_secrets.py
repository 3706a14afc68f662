"""The embedded store: the common contract, and what sealing adds to it."""

from io import StringIO
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from apps.tenants import keys
from apps.tenants.models import Org, User
from apps.tenants.services import factors
from apps.trust.errors import SecretUnreadable
from apps.trust.models import DataKey, SealedSecret
from apps.trust.sealing import MasterKey, MasterKeys, new_key
from apps.trust.secrets import SealedSecretStore, get_secret_store
from tests.trust.secret_store_contract import *  # noqa: F403
from tests.trust.secret_store_contract import VALUE


def master_key() -> MasterKey:
    return MasterKey.of(new_key())


OLD, NEW = master_key(), master_key()


def forget_secrets():
    """Start from nothing: provisioning has sealed the org's signing key already."""
    SealedSecret.objects.all().delete()
    DataKey.objects.all().delete()


@pytest.fixture
def store(org):
    forget_secrets()
    return SealedSecretStore(MasterKeys(OLD))


def test_nothing_readable_is_stored(store):
    store.put("r", VALUE)
    secret, data_key = SealedSecret.objects.get(), DataKey.objects.get()

    assert VALUE not in bytes(secret.ciphertext)
    assert len(bytes(secret.ciphertext)) == len(VALUE) + 16
    assert len(bytes(data_key.wrapped)) == 32 + 16
    assert data_key.master_key_id == OLD.id


def test_one_data_key_serves_all_secrets_of_an_org(store):
    for ref in ("a", "b", "c"):
        store.put(ref, VALUE)

    assert DataKey.objects.count() == 1
    assert len({bytes(s.nonce) for s in SealedSecret.objects.all()}) == 3


def test_the_only_value_of_a_reference_waits_for_no_other_write(store, django_assert_num_queries):
    store.add("r", VALUE)
    with django_assert_num_queries(2):
        store.add("s", VALUE)
    assert (store.get("r"), store.get("s"), DataKey.objects.count()) == (VALUE, VALUE, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        store.add("r", VALUE)


def test_a_wrong_master_key_opens_nothing_and_says_which_is_missing(store):
    store.put("r", VALUE)
    wrong = SealedSecretStore(MasterKeys(NEW))

    with pytest.raises(SecretUnreadable, match=f"master key {OLD.id} is not configured"):
        wrong.get("r")
    with pytest.raises(SecretUnreadable):
        wrong.put("s", VALUE)
    assert store.versions("s") == []
    assert store.get("r") == VALUE


def test_a_master_key_under_the_id_of_another_opens_nothing(store):
    store.put("r", VALUE)

    with pytest.raises(SecretUnreadable, match="does not open here"):
        SealedSecretStore(MasterKeys(MasterKey(OLD.id, NEW.key))).get("r")


def test_rewrapping_changes_the_master_key_and_no_secret(store):
    store.put("r", VALUE)
    before = bytes(SealedSecret.objects.get().ciphertext)
    both = SealedSecretStore(MasterKeys(NEW, [OLD]))

    assert both.get("r") == VALUE
    assert [both.rewrap(), both.rewrap()] == [True, False]

    assert DataKey.objects.get().master_key_id == NEW.id
    assert bytes(SealedSecret.objects.get().ciphertext) == before
    assert SealedSecretStore(MasterKeys(NEW)).get("r") == VALUE
    with pytest.raises(SecretUnreadable):
        store.get("r")


def test_there_is_nothing_to_rewrap_before_the_first_secret(store):
    assert SealedSecretStore(MasterKeys(NEW, [OLD])).rewrap() is False
    assert DataKey.objects.count() == 0


def test_ciphertext_moved_to_another_reference_or_version_does_not_open(store):
    store.put("mine", VALUE)
    store.put("mine", VALUE)
    store.put("theirs", b"another value")
    stolen = SealedSecret.objects.get(ref="theirs")
    loot = {"nonce": stolen.nonce, "ciphertext": stolen.ciphertext}

    SealedSecret.objects.filter(ref="mine", version=1).update(**loot)

    with pytest.raises(SecretUnreadable):
        store.get("mine", 1)
    assert store.get("mine", 2) == VALUE
    assert store.get("theirs") == b"another value"


def test_rows_moved_to_another_org_do_not_open_there(store, enter_other_org):
    store.put("r", VALUE)
    data_key, secret = DataKey.objects.get(), SealedSecret.objects.get()

    with enter_other_org():
        forget_secrets()
        moved = copy_row(data_key)
        copy_row(secret, data_key=moved)
        with pytest.raises(SecretUnreadable, match="does not open here"):
            store.get("r")
        store.delete("r")
    assert store.get("r") == VALUE


def test_two_orgs_share_no_secret_and_no_data_key(store, enter_other_org):
    store.put("r", VALUE)
    mine = DataKey.objects.get()

    with enter_other_org():
        forget_secrets()
        assert store.versions("r") == []
        assert store.put("r", b"theirs") == 1
        assert DataKey.objects.get().id != mine.id
    assert store.get("r") == VALUE


def test_the_configured_store_uses_the_configured_master_key(org):
    get_secret_store().put("r", VALUE)

    assert DataKey.objects.get().master_key_id == MasterKey.of(settings.MANDATE_KEK).id
    assert get_secret_store().get("r") == VALUE


def test_earlier_master_keys_still_open_what_they_wrapped(org, settings):
    get_secret_store().put("r", VALUE)
    settings.MANDATE_KEK_PREVIOUS = [settings.MANDATE_KEK]
    settings.MANDATE_KEK = new_key()

    assert get_secret_store().get("r") == VALUE
    settings.MANDATE_KEK_PREVIOUS = []
    with pytest.raises(SecretUnreadable):
        get_secret_store().get("r")


def rewrap():
    said = StringIO()
    call_command("rewrap", stdout=said)
    return said.getvalue().splitlines()


@pytest.fixture
def factor(org):
    """A second factor, sealed by the present master key."""
    data = {"secret": factors.seal_text("JBSWY3DP")}
    user = User.objects.create(email="ana@acme.example")
    return Authenticator.objects.create(user=user, type="totp", data=data)


def test_after_a_rewrapping_the_earlier_master_key_can_go(org, other_org, factor, settings):
    get_secret_store().put("r", VALUE)
    Org.objects.filter(id=other_org.id).update(state="suspended")
    with keys.holding(other_org.schema, other_org.id):
        get_secret_store().put("r", VALUE)
    settings.MANDATE_KEK_PREVIOUS = [settings.MANDATE_KEK]
    settings.MANDATE_KEK = new_key()
    orgs = Org.objects.exclude(state="erased").count()
    assert factors.open_text(factor.data["secret"]) == "JBSWY3DP"

    assert rewrap() == [
        f"{orgs} organizations and 1 second factors rewrapped.",
        "MANDATE_KEK_PREVIOUS isn't needed any more.",
    ]
    assert rewrap()[0] == "0 organizations and 0 second factors rewrapped."
    settings.MANDATE_KEK_PREVIOUS = []
    assert get_secret_store().get("r") == VALUE
    with keys.holding(other_org.schema, other_org.id):
        assert get_secret_store().get("r") == VALUE
    factor.refresh_from_db()
    assert factors.open_text(factor.data["secret"]) == "JBSWY3DP"


def test_a_rewrapping_names_what_no_key_opens(org, factor, settings):
    get_secret_store().put("r", VALUE)
    settings.MANDATE_KEK = new_key()

    with pytest.raises(CommandError, match="organization acme") as left:
        rewrap()
    assert "second factor of ana@acme.example" in str(left.value)


def copy_row(row, **changes):
    """Insert the same row, id and all, where the present keys point."""
    values = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
    del values["org_id"]
    for name, value in changes.items():
        values[f"{name}_id"] = value.id
    assert isinstance(values["id"], UUID)
    return type(row).objects.create(**values)
