"""API keys: made, replaced with grace, revoked at once.

A token exists in clear only in the answer that makes it. The apex finds the org of a key by
`KeyIndex`, whose row comes and goes in the same commit as the key's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.common.actors import Actor
from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.ids import public_id
from apps.orgs.errors import BeyondOwnPower, KeyInactive
from apps.orgs.holders import hold_agent
from apps.orgs.models import ApiKey, Member
from apps.orgs.permissions import ALL_SCOPES, MATRIX, NOT_FOR_AGENTS
from apps.orgs.principals import Principal
from apps.orgs.selectors import AGENT, KEY, KeyUse, get_key
from apps.orgs.services.recording import recorder
from apps.orgs.tokens import SHOWN, hash_of, new_token
from apps.tenants.services import key_index

GRACE: Final = timedelta(hours=24)
GRACE_MAX: Final = timedelta(days=7)
USED_EVERY: Final = timedelta(minutes=1)
_record = recorder("api_key", KEY)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its token, which nobody can read again."""

    key: ApiKey
    token: str = field(repr=False)


def create_key(
    *,
    name: str,
    scopes: list[str] | None = None,
    expires_at: datetime | None = None,
    agent: str | None = None,
    by: Principal,
    at: datetime,
) -> NewKey:
    """Make a key that acts for `by`'s member, or as the agent of that id or slug; without scopes it
    may all that the role allows.

    Raises Invalid for values that won't do, BeyondOwnPower for scopes that `by` doesn't have, a
    life longer than that of the key that asks, or where that one was replaced (what it made could
    renew itself beyond the grace), and for an agent what `hold_agent` raises.
    """
    wanted = _check_scopes(scopes or [ALL_SCOPES], by)
    if agent is not None and (barred := sorted(NOT_FOR_AGENTS & set(wanted))):
        raise Invalid.of("scopes", f"No agent may have {barred[0]}.")
    _check_life(expires_at, by, at)
    with transaction.atomic():
        made = _write(
            name=_check_name(name),
            member_id=by.member_id,
            agent_id=None if agent is None else hold_agent(agent, by=by),
            scopes=wanted,
            expires_at=expires_at,
            at=at,
        )
        _record(made.key, "created", by.actor, at, new=_facts(made.key))
    return made


def rotate_key(*, key_id: UUID, grace: timedelta = GRACE, by: Principal, at: datetime) -> NewKey:
    """Replace one's own key by one with the same scopes and length of life.

    The old one works until the grace is over, or with none stops with this commit. A key that asks
    gets none that outlives it but its own successor: one that leaked ends when it was to end, and
    what takes its place stays its owner's. Raises NotFound, PermissionDenied for somebody else's
    key (whose token would be theirs to use), KeyInactive, Invalid for a grace outside 0 to 7 days,
    BeyondOwnPower.
    """
    if not timedelta(0) <= grace <= GRACE_MAX:
        raise Invalid.of("grace_seconds", f"Use 0 to {int(GRACE_MAX.total_seconds())} seconds.")
    with transaction.atomic():
        if agent_id := get_key(key_id, by=by).agent_id:
            hold_agent(public_id(AGENT, agent_id), by=by)  # before the key, as its retirement does
        old = _lock(key_id, by)
        if old.member_id != by.member_id:
            raise PermissionDenied("Only its owner can replace a key; you can revoke it.")
        if old.status_at(at) != "active":
            raise KeyInactive
        _check_scopes(old.scopes, by)
        if by.key_id != old.id:
            _check_life(_end_of_next(old, at), by, at)
        made = _replace(old, at)
        _retire(old, at + grace, at)
        _record(
            old,
            "rotated",
            by.actor,
            at,
            old={"prefix": old.prefix},
            new={"prefix": made.key.prefix, "old_works_until": at + grace},
        )
    return made


def revoke_key(*, key_id: UUID, by: Principal, at: datetime) -> ApiKey:
    """Stop a key with this commit, on every host; revoking twice changes nothing.

    Raises NotFound for a key that `by` may not see.
    """
    with transaction.atomic():
        key = _lock(key_id, by)
        if key.revoked_at is None:
            _stop(key, at)
            _record(key, "revoked", by.actor, at, old=_facts(key))
    return key


def stop_keys_of(*, member: Member, at: datetime) -> list[ApiKey]:
    """Stop every key of a member who goes; `record_revoked` puts it on record, after all locks."""
    return _stop_all(ApiKey.objects.filter(member=member), at)


def record_revoked(found: Sequence[ApiKey], actor: Actor, at: datetime) -> None:
    """Put on record that these keys were stopped."""
    for key in found:
        _record(key, "revoked", actor, at, old=_facts(key))


def revoke_keys_of_agent(*, agent_id: UUID, actor: Actor, at: datetime) -> int:
    """Stop every key of an agent that its caller holds; how many there were."""
    with transaction.atomic():
        found = _stop_all(ApiKey.objects.filter(agent_id=agent_id), at)
        record_revoked(found, actor, at)
    return len(found)


def note_use(*, key: KeyUse, at: datetime) -> None:
    """Write down that a key is in use, at most once a minute, whatever its traffic."""
    if key.last_used_at and at - key.last_used_at < USED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=at - USED_EVERY)
    ApiKey.objects.filter(stale, id=key.id).update(last_used_at=at)


def _stop_all(keys: QuerySet[ApiKey], at: datetime) -> list[ApiKey]:
    rows = keys.select_for_update(of=("self",)).select_related("agent")
    found = list(rows.filter(revoked_at=None).order_by("id"))
    for key in found:
        _stop(key, at)
    return found


def _write(*, at: datetime, expires_at: datetime | None, **fields: Any) -> NewKey:
    token = new_token()
    key = ApiKey.objects.create(
        prefix=token[:SHOWN],
        key_hash=hash_of(token),
        created_at=at,
        expires_at=expires_at,
        **fields,
    )
    _index(key)
    return NewKey(key, token)


def _end_of_next(old: ApiKey, at: datetime) -> datetime | None:
    """When the key ends that takes the place of `old` now."""
    return at + (old.expires_at - old.created_at) if old.expires_at else None


def _replace(old: ApiKey, at: datetime) -> NewKey:
    return _write(
        name=old.name,
        member_id=old.member_id,
        agent_id=old.agent_id,
        scopes=old.scopes,
        expires_at=_end_of_next(old, at),
        rotated_from=old,
        at=at,
    )


def _retire(key: ApiKey, until: datetime, at: datetime) -> None:
    key.grace_until = until
    key.save(update_fields=["grace_until"])
    if until <= at:
        _stop(key, at)
    else:
        _index(key)


def _stop(key: ApiKey, at: datetime) -> None:
    key.revoked_at = at
    key.save(update_fields=["revoked_at"])
    key_index.forget_key(key_hash=bytes(key.key_hash))


def _index(key: ApiKey) -> None:
    key_index.index_key(key_hash=bytes(key.key_hash), org_id=key.org_id, expires_at=key.ends_at)


def _lock(key_id: UUID, by: Principal) -> ApiKey:
    rows = ApiKey.objects.select_for_update(of=("self",)).select_related("member")
    key = rows.filter(id=key_id).first()
    if key is None or not (key.member_id == by.member_id or by.may("keys.manage")):
        raise NotFound
    return key


def _check_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise Invalid.of("name", "Use 1 to 80 characters.")
    return name


def _check_scopes(scopes: list[str], by: Principal) -> list[str]:
    """Known codes, each once, none that the maker lacks; `*` from an unrestricted one."""
    wanted = [ALL_SCOPES] if ALL_SCOPES in scopes else sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in MATRIX and scope != ALL_SCOPES]:
        raise Invalid.of("scopes", f"There is no scope “{unknown[0]}”.")
    if wanted == [ALL_SCOPES]:
        if not by.is_unrestricted:
            raise BeyondOwnPower("Name scopes that your key has.")
    elif missing := [scope for scope in wanted if not by.may(scope)]:
        detail = f"You don't have the permission {missing[0]} yourself."
        raise BeyondOwnPower(detail, permission=missing[0])
    return wanted


def _check_life(expires_at: datetime | None, by: Principal, at: datetime) -> None:
    if expires_at is not None and expires_at <= at:
        raise Invalid.of("expires_at", "Must be in the future.")
    if by.expires_at is None:
        return
    if expires_at is None or expires_at > by.expires_at:
        raise BeyondOwnPower("A key can't make one that lives longer than itself.")
    if by.key_id and ApiKey.objects.filter(id=by.key_id).exclude(grace_until=None).exists():
        raise BeyondOwnPower("This key was replaced: only its successor can make another.")


def _facts(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "expires_at": key.expires_at,
        **({"agent": key.agent.slug} if key.agent else {}),
    }
