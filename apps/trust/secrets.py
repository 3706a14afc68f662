"""Where secrets live: values go in by reference and come out to code, never to a page or a log.

A `secret_ref` is a path (`signing-keys/…`, `credentials/…`); each value under it has a version, as
in a KV-v2 store. Every implementation passes tests/trust/secret_store_contract.py.
"""

from __future__ import annotations

import re
from typing import Final, Protocol
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet
from django.views.decorators.debug import sensitive_variables

from apps.tenants import keys
from apps.trust.errors import SecretNotFound
from apps.trust.models import DataKey, SealedSecret
from apps.trust.sealing import MasterKey, MasterKeys, Sealed, new_key, seal, unseal

_REF: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
_DESTROYED: Final = {"nonce": b"", "ciphertext": b""}  # no sealed value is ever empty
MAX_REF: Final = 200


class SecretStore(Protocol):
    """The present org's secrets.

    Raises SecretNotFound for a reference or version that isn't there, SecretUnreadable for one
    that is and can't be opened, ValueError for a malformed reference. No error quotes a value.
    """

    def put(self, ref: str, value: bytes) -> int:
        """Keep a value as the next version under `ref`; returns that version."""

    def add(self, ref: str, value: bytes) -> None:
        """Keep the only value of a reference that nobody has used; holds up no other write."""

    def get(self, ref: str, version: int | None = None) -> bytes:
        """Give back the value of a version, or of the latest."""

    def rotate(self, ref: str, value: bytes) -> int:
        """Replace an existing secret: older versions than the one replaced are destroyed.

        The replaced one stays readable by its number, so that what is under way can finish.
        """

    def delete(self, ref: str, version: int | None = None) -> None:
        """Destroy one version, or the secret with all of them."""

    def versions(self, ref: str) -> list[int]:
        """List the versions that can still be read, oldest first; empty for an unknown secret."""


class SealedSecretStore:
    """The embedded store: sealed rows in the org's own schema, under a master key from outside.

    It writes in the caller's transaction, so a secret exists iff the change that made it does.
    """

    def __init__(self, master_keys: MasterKeys) -> None:
        self._master_keys = master_keys

    @sensitive_variables()
    def put(self, ref: str, value: bytes) -> int:
        _check_ref(ref)
        with transaction.atomic():
            data_key = self._lock_data_key()
            return self._write(data_key, ref, value)

    @sensitive_variables()
    def add(self, ref: str, value: bytes) -> None:
        _check_ref(ref)
        self._insert(DataKey.objects.first() or self._lock_data_key(), ref, 1, value)

    @sensitive_variables()
    def get(self, ref: str, version: int | None = None) -> bytes:
        rows = _live(ref).select_related("data_key")
        if version is not None:
            rows = rows.filter(version=version)
        row = rows.order_by("-version").first()
        if row is None:
            raise SecretNotFound
        key = self._unwrap(row.data_key)
        sealed = Sealed(bytes(row.nonce), bytes(row.ciphertext))
        return unseal(key, sealed, place=_place(ref, row.version))

    @sensitive_variables()
    def rotate(self, ref: str, value: bytes) -> int:
        with transaction.atomic():
            data_key = self._lock_data_key()
            versions = self.versions(ref)
            if not versions:
                raise SecretNotFound
            _live(ref).filter(version__lt=versions[-1]).update(**_DESTROYED)
            return self._write(data_key, ref, value)

    def delete(self, ref: str, version: int | None = None) -> None:
        if version is None:
            gone, _ = SealedSecret.objects.filter(ref=ref).delete()
        else:  # the row stays, so that its number is never given to another value
            gone = _live(ref).filter(version=version).update(**_DESTROYED)
        if not gone:
            raise SecretNotFound

    def versions(self, ref: str) -> list[int]:
        return list(_live(ref).order_by("version").values_list("version", flat=True))

    def rewrap(self) -> bool:
        """Wrap the org's data key by the current master key; True if that changed anything.

        The sealed values stay as they are, so a master key is rotated by one row per org.
        """
        with transaction.atomic():
            data_key = DataKey.objects.select_for_update().first()
            current = self._master_keys.current
            if data_key is None or data_key.master_key_id == current.id:
                return False
            wrapped = seal(current.key, self._unwrap(data_key), place=_data_key_place(data_key.id))
            data_key.master_key_id = current.id
            data_key.nonce, data_key.wrapped = wrapped.nonce, wrapped.ciphertext
            data_key.save(update_fields=["master_key_id", "nonce", "wrapped"])
        return True

    @sensitive_variables()
    def _write(self, data_key: DataKey, ref: str, value: bytes) -> int:
        rows = SealedSecret.objects.filter(ref=ref)
        version: int = (rows.aggregate(last=Max("version"))["last"] or 0) + 1
        self._insert(data_key, ref, version, value)
        return version

    @sensitive_variables()
    def _insert(self, data_key: DataKey, ref: str, version: int, value: bytes) -> None:
        sealed = seal(self._unwrap(data_key), value, place=_place(ref, version))
        SealedSecret.objects.create(
            ref=ref,
            version=version,
            data_key=data_key,
            nonce=sealed.nonce,
            ciphertext=sealed.ciphertext,
        )

    def _lock_data_key(self) -> DataKey:
        """Get the org's data key, made at first use; its lock puts an org's writes in a row."""
        if not DataKey.objects.exists():
            DataKey.objects.bulk_create([self._new_data_key()], ignore_conflicts=True)
        return DataKey.objects.select_for_update().get()

    def _new_data_key(self) -> DataKey:
        master = self._master_keys.current
        row = DataKey(master_key_id=master.id)
        wrapped = seal(master.key, new_key(), place=_data_key_place(row.id))
        row.nonce, row.wrapped = wrapped.nonce, wrapped.ciphertext
        return row

    @sensitive_variables()
    def _unwrap(self, data_key: DataKey) -> bytes:
        master = self._master_keys.find(data_key.master_key_id)
        wrapped = Sealed(bytes(data_key.nonce), bytes(data_key.wrapped))
        return unseal(master.key, wrapped, place=_data_key_place(data_key.id))


def get_secret_store() -> SealedSecretStore:
    """Open the configured store with the master keys that this process was given."""
    current = MasterKey.of(settings.MANDATE_KEK)
    earlier = map(MasterKey.of, settings.MANDATE_KEK_PREVIOUS)
    return SealedSecretStore(MasterKeys(current, earlier))


def _live(ref: str) -> QuerySet[SealedSecret]:
    return SealedSecret.objects.filter(ref=ref).exclude(ciphertext=b"")


def _place(ref: str, version: int) -> dict[str, str | int]:
    return {"org": _org(), "ref": ref, "version": version}


def _data_key_place(row_id: UUID) -> dict[str, str | int]:
    return {"org": _org(), "data_key": str(row_id)}


def _org() -> str:
    """Name the org by the key that this process holds, not by what a row says of itself."""
    return str(keys.current().org_id)


def _check_ref(ref: str) -> None:
    if len(ref) > MAX_REF or not _REF.fullmatch(ref):
        raise ValueError("a secret's reference is a lower-case path")
