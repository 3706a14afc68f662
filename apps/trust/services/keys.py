"""The life of an org's signing keys.

At most one key is active and at most one is next. While there is a next, documents carry both
signatures, so a verifier that knows only one of the two believes them through the change.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.common.actors import SYSTEM, Actor
from apps.common.errors import NotFound
from apps.tenants.selectors import OrgRef
from apps.trust.errors import NoSigningKey, SecretNotFound, SigningKeyPending
from apps.trust.jwk import Signer
from apps.trust.models import SigningKey
from apps.trust.secrets import get_secret_store
from apps.trust.services.audit import record_event

_State = SigningKey.State


def seed_signing_key(org: OrgRef, at: datetime) -> None:
    """Give an org its first key while it is provisioned; safe to repeat."""
    if not SigningKey.objects.filter(state=_State.ACTIVE).exists():
        create_signing_key(actor=SYSTEM, at=at)


def create_signing_key(*, actor: Actor, at: datetime) -> SigningKey:
    """Make a key: the org's first is active at once, a later one waits as the next.

    Raises SigningKeyPending if one is waiting already.
    """
    with transaction.atomic():
        held = _lock_keys()
        if _State.NEXT in held:
            raise SigningKeyPending
        key = _make_key(at, activate=_State.ACTIVE not in held)
        _record(key, actor=actor, verb="created", was=None, at=at)
    return key


def rotate_signing_key(*, actor: Actor, at: datetime) -> SigningKey:
    """Let the next key take over, made here if none was waiting; the old one only verifies.

    Returns the new active key. Documents signed before stay valid: the old key stays published.
    """
    with transaction.atomic():
        held = _lock_keys()
        old, key = held.get(_State.ACTIVE), held.get(_State.NEXT)
        if old:
            _retire(old, at)
        was = _State.NEXT if key else None
        key = _activate(key, at) if key else _make_key(at, activate=True)
        if old:
            _record(old, actor=actor, verb="retired", was=_State.ACTIVE, at=at)
        _record(key, actor=actor, verb="activated", was=was, at=at)
    return key


def revoke_signing_key(*, key_id: UUID, actor: Actor, at: datetime, reason: str) -> SigningKey:
    """Stop believing a key from now on, also for what it signed before; it leaves the JWKS.

    Revoking the active key lets the next one take over, so the org can always sign. Raises
    NotFound; revoking twice changes nothing.
    """
    with transaction.atomic():
        held = _lock_keys()
        key = SigningKey.objects.select_for_update().filter(id=key_id).first()
        if key is None:
            raise NotFound
        if key.state == _State.REVOKED:
            return key
        was = key.state
        _revoke(key, at)
        if was == _State.ACTIVE:
            successor = held.get(_State.NEXT)
            heir = _activate(successor, at) if successor else _make_key(at, activate=True)
            before = _State.NEXT if successor else None
            _record(heir, actor=actor, verb="activated", was=before, at=at)
        _record(key, actor=actor, verb="revoked", was=was, at=at, reason=reason)
    return key


def get_signers() -> list[Signer]:
    """Open the keys that sign now, the active one first; raises NoSigningKey if it is missing."""
    try:
        return _open_signers()
    except SecretNotFound:  # a rotation destroyed the private part between the two reads
        return _open_signers()


def _open_signers() -> list[Signer]:
    # By state: "active" sorts before "next".
    keys = list(SigningKey.objects.filter(state__in=SigningKey.SIGNING).order_by("state"))
    if not keys or keys[0].state != _State.ACTIVE:
        raise NoSigningKey
    store = get_secret_store()
    return [Signer.from_private_bytes(store.get(key.secret_ref)) for key in keys]


def _lock_keys() -> dict[str, SigningKey]:
    """Lock the keys that may sign, by state (of each state there is at most one)."""
    rows = SigningKey.objects.select_for_update().filter(state__in=SigningKey.SIGNING)
    return {key.state: key for key in rows.order_by("id")}


def _make_key(at: datetime, *, activate: bool) -> SigningKey:
    signer = Signer.generate()
    key = SigningKey(kid=signer.kid, public_jwk=signer.public_jwk, created_at=at)
    key.secret_ref = f"signing-keys/{key.id}"
    get_secret_store().put(key.secret_ref, signer.private_bytes)
    if activate:
        key.activate(at=at)
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError as error:  # two made the first key, or the next one, at once
        raise SigningKeyPending from error
    return key


def _activate(key: SigningKey, at: datetime) -> SigningKey:
    key.activate(at=at)
    key.save(update_fields=["state", "activated_at"])
    return key


def _retire(key: SigningKey, at: datetime) -> None:
    ref = key.secret_ref
    key.retire(at=at)
    key.save(update_fields=["state", "retired_at", "secret_ref"])
    get_secret_store().delete(ref)


def _revoke(key: SigningKey, at: datetime) -> None:
    ref = key.secret_ref
    key.revoke(at=at)
    key.save(update_fields=["state", "revoked_at", "secret_ref"])
    if ref:
        get_secret_store().delete(ref)


def _record(
    key: SigningKey, *, actor: Actor, verb: str, was: str | None, at: datetime, reason: str = ""
) -> None:
    record_event(
        actor=actor,
        action=f"trust.signing_key.{verb}",
        subject_type="signing_key",
        subject_id=key.kid,
        old={"state": was} if was else None,
        new={"state": key.state},
        detail={"reason": reason} if reason else None,
        at=at,
    )
