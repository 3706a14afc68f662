"""The first speed of the audit log: administrative changes, one chained row each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from django.db import connection

from apps.common.actors import Actor
from apps.tenants import keys
from apps.trust.canonical import MAX_INTEGER, JsonObject, JsonValue, dumps
from apps.trust.errors import AuditMisuse
from apps.trust.models import AuditEvent

_ACTION: Final = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9_]*){2}")
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
_SECRET_WORDS: Final = frozenset({"password", "passwd", "token", "secret", "private"})
_SAFE_ENDINGS: Final = ("_ref", "_id", "_prefix", "_hash", "_digest", "_at", "_count")


def record_event(
    *,
    actor: Actor,
    action: str,
    subject_type: str,
    subject_id: str | UUID,
    at: datetime,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    detail: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Put an administrative change on record in the transaction that makes it.

    If the row can't be written the change doesn't happen either. Call it last: it takes the lock on
    the chain's head, which comes after every other lock. `action` is `app.noun.verb`, a past fact;
    `old` and `new` hold the fields that changed.

    Raises AuditMisuse, a bug of the caller: outside a transaction or an org, an action out of form,
    a naive time, or a member named like a secret. Nothing is redacted here, so it must not be sent.
    """
    _check_call(action, at)
    event = AuditEvent(
        org_id=_present_org(),  # `body` names it, so the database's default comes too late
        at=at,
        actor_type=actor.type.value,
        actor_id=actor.id,
        actor_label=actor.label,
        action=action,
        subject_type=subject_type,
        subject_id=str(subject_id),
        detail=_compose_detail(old, new, detail),
    )
    event.body = dumps(event.describe()).decode()
    event.save(force_insert=True)
    return event


def _check_call(action: str, at: datetime) -> None:
    if not connection.in_atomic_block:
        raise AuditMisuse("an audit event belongs into the transaction of its change")
    if not _ACTION.fullmatch(action):
        raise AuditMisuse(f"{action!r} is not of the form app.noun.verb")
    if at.tzinfo is None:
        raise AuditMisuse("an audit event needs a time with a zone")


def _present_org() -> UUID:
    org_id = keys.current().org_id
    if org_id is None:
        raise AuditMisuse("an audit event belongs to an org, and none is unlocked")
    return org_id


def _compose_detail(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, detail: Mapping[str, Any] | None
) -> JsonObject:
    parts = {**(detail or {})}
    parts |= {name: part for name, part in (("old", old), ("new", new)) if part is not None}
    for name in _names(parts):
        if _sounds_secret(name):
            raise AuditMisuse(f"{name!r} looks like a secret; the audit log must not hold it")
    return {name: _plain(value) for name, value in parts.items()}


def _names(value: object) -> Iterable[str]:
    """Every member name at any depth."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _names(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _names(inner)


def _sounds_secret(name: str) -> bool:
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & _SECRET_WORDS) and not name.endswith(_SAFE_ENDINGS)


def _plain(value: object) -> JsonValue:
    """Write a value so that it reads the same from `body` and from jsonb.

    What differs there becomes text: floats and integers past 2^53 (jsonb has its own numbers) and
    the NUL character (Postgres has none).
    """
    match value:
        case Enum():
            return _plain(value.value)
        case str():
            return value.replace("\0", "\N{SYMBOL FOR NULL}")
        case None | bool():
            return value
        case int() if abs(value) <= MAX_INTEGER:
            return int(value)
        case Mapping():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case set() | frozenset():
            return [_plain(inner) for inner in sorted(value, key=str)]
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)
