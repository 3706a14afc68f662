"""The same POST twice has its effect once.

Everything is one transaction: a lock on (org, principal, key), the handler's own changes, and the
record of its answer. So there is no moment at which a crash leaves a key claimed and nothing done,
or something done and no answer kept; and an answer that is an error rolls back with its changes
and stores nothing, so it may be tried again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from apps.common.errors import BadRequest
from apps.orgs.errors import IdempotencyInFlight, IdempotencyKeyReused
from apps.orgs.models import IdempotencyRecord
from apps.trust.errors import SecretUnreadable
from apps.trust.sealing import Sealed, seal, unseal

LIFE: Final = timedelta(hours=24)
_KEY: Final = re.compile(r"[!-~]{1,255}")
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of a key: by whom, and for which request."""

    org_id: UUID
    principal: str
    key: str
    fingerprint: bytes

    @property
    def lock_id(self) -> int:
        """Where the advisory lock is: 64 bits of a hash, so that two keys hardly ever share one."""
        text = f"{self.org_id}\0{self.principal}\0{self.key}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told; the body is the JSON text itself."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


def check_key(text: str) -> str:
    """The header's value, if it is 1 to 255 visible ASCII characters; raises BadRequest."""
    if not _KEY.fullmatch(text):
        raise BadRequest("An Idempotency-Key has 1 to 255 visible ASCII characters.")
    return text


def fingerprint_of(method: str, path: str, body: Any) -> bytes:
    """Tell requests apart by what they ask, not by how their JSON is spaced or ordered."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{method}\n{path}\n{canonical}".encode()).digest()


def answer_once(
    *, claim: Claim, produce: Callable[[], Answer], at: datetime
) -> tuple[Answer, bool]:
    """Carry the request out, or give the answer of the first time; whether it was given again.

    Raises IdempotencyInFlight while the first is under way, IdempotencyKeyReused if the key was
    used for another request, and whatever `produce` raises.
    """
    with transaction.atomic():
        if not _try_lock(claim):
            raise IdempotencyInFlight("Repeat it in a moment.")
        record = _find(claim, at)
        if record is not None:
            if bytes(record.fingerprint) != claim.fingerprint:
                raise IdempotencyKeyReused("Use a new key for a new request.")
            return _open(record), True
        answer = produce()
        if answer.status < 400:
            _keep(claim, answer, at)
        else:
            transaction.set_rollback(True)
    return answer, False


def expire_idempotency(at: datetime) -> None:
    """The sweeper's step: forget answers after a day."""
    old = IdempotencyRecord.objects.filter(created_at__lte=at - LIFE).order_by("created_at")
    IdempotencyRecord.objects.filter(id__in=old.values("id")[:_BATCH]).delete()


def _try_lock(claim: Claim) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [claim.lock_id])
        return bool(cursor.fetchone()[0])


def _find(claim: Claim, at: datetime) -> IdempotencyRecord | None:
    """The answer of the first time, while it counts."""
    rows = IdempotencyRecord.objects.filter(principal=claim.principal, key=claim.key)
    record = rows.first()
    if record is not None and record.created_at <= at - LIFE:
        rows.delete()
        return None
    return record


def _keep(claim: Claim, answer: Answer, at: datetime) -> None:
    record = IdempotencyRecord(
        principal=claim.principal,
        key=claim.key,
        fingerprint=claim.fingerprint,
        status=answer.status,
        headers=answer.headers,
        created_at=at,
    )
    sealed = seal(next(_sealing_keys()), answer.body, place=_place(record, claim.org_id))
    record.nonce, record.sealed_body = sealed.nonce, sealed.ciphertext
    record.save(force_insert=True)


def _open(record: IdempotencyRecord) -> Answer:
    sealed = Sealed(bytes(record.nonce), bytes(record.sealed_body))
    for key in _sealing_keys():
        try:
            body = unseal(key, sealed, place=_place(record, record.org_id))
        except SecretUnreadable:
            continue
        return Answer(record.status, record.headers, body)
    raise SecretUnreadable("the stored answer does not open here")


def _sealing_keys() -> Iterator[bytes]:
    """Keys of this purpose alone, the present one first.

    Derived from the master keys and not the org's data key, whose row lock would have to be taken
    after that on the audit log's head.
    """
    for master in (settings.MANDATE_KEK, *settings.MANDATE_KEK_PREVIOUS):
        yield hmac.digest(master, b"mandate idempotency answers", "sha256")


def _place(record: IdempotencyRecord, org_id: UUID) -> dict[str, str | int]:
    return {"org": str(org_id), "idempotency_record": str(record.id)}
