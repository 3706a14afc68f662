"""What trust can tell: the published keys, the audit events, and whether their chain holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Max, Q, QuerySet

from apps.common.errors import NotFound
from apps.trust.canonical import dumps
from apps.trust.chain import GENESIS, link
from apps.trust.entries import facts_of
from apps.trust.models import AuditEvent, AuditHead, Checkpoint, CheckpointCopy, SigningKey

MAX_BREAKS: Final = 20
ERASED: Final = "trust.audit.erased"
"""What the record of an erasure is called; `detail.through` is the last event erased."""


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain doesn't hold: at which event, and which of its properties."""

    seq: int
    check: str
    detail: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What was found between two numbers; at most MAX_BREAKS breaks are listed."""

    from_seq: int
    to_seq: int
    checked: int
    breaks: tuple[Break, ...]
    erased: int = 0

    @property
    def valid(self) -> bool:
        return not self.breaks


def list_keys() -> QuerySet[SigningKey]:
    """Every key that the org ever had."""
    return SigningKey.objects.order_by("-created_at", "-id")


def get_key(kid: str) -> SigningKey:
    """Raises NotFound."""
    found = SigningKey.objects.filter(kid=kid).first() if "\0" not in kid else None
    if found is None:
        raise NotFound
    return found


def get_event_by_id(event_id: UUID) -> AuditEvent:
    """Raises NotFound."""
    found = AuditEvent.objects.filter(id=event_id).first()
    if found is None:
        raise NotFound
    return found


def neighbours(event: AuditEvent) -> tuple[AuditEvent | None, AuditEvent | None]:
    """The events right before and after it."""
    around = {e.seq: e for e in AuditEvent.objects.filter(seq__in=(event.seq - 1, event.seq + 1))}
    return around.get(event.seq - 1), around.get(event.seq + 1)


def list_copies() -> QuerySet[CheckpointCopy]:
    """How far the checkpoints have left the database, for each place that they go to."""
    return CheckpointCopy.objects.order_by("sink")


def list_checkpoints() -> QuerySet[Checkpoint]:
    """The signed heads of the org's tree, newest first."""
    return Checkpoint.objects.order_by("-number")


def list_published_keys() -> QuerySet[SigningKey]:
    """Every key that a verifier may still believe, oldest first."""
    return SigningKey.objects.filter(state__in=SigningKey.PUBLISHED).order_by("created_at", "id")


def jwks() -> dict[str, list[dict[str, str]]]:
    """The org's published keys as a JWK Set (RFC 7517 §5)."""
    return {"keys": list(list_published_keys().values_list("public_jwk", flat=True))}


def list_events(
    *,
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[AuditEvent]:
    """Audit events, newest first, by who did it (id), what was done, what to (its id or its kind).

    `action` may be a beginning that ends in a dot (`trust.`). The times are those of the events,
    `until` not included.
    """
    wanted: dict[str, object] = {"actor_id": actor, "at__gte": since, "at__lt": until}
    wanted["action__startswith" if action.endswith(".") else "action"] = action
    chosen = {field: value for field, value in wanted.items() if value}
    about = Q(subject_id=subject) | Q(subject_type=subject) if subject else Q()
    return AuditEvent.objects.filter(about, **chosen).order_by("-seq")


def verify_chain(from_seq: int = 1, to_seq: int | None = None) -> ChainReport:
    """Recompute the chain and say where it doesn't hold.

    Checked for each event: its number follows, it hangs on its predecessor, its hash is that of its
    body, and its columns say what its body says; of one that was erased, that retention put so on
    record. Up to the end (`to_seq` None) the head must be the last event's. Whoever can rewrite
    rows and head together is only found by a checkpoint that has left the database.
    """
    newest = AuditEvent.objects.aggregate(seq=Max("seq"))["seq"] or 0
    # The head comes after `newest`: it can only have moved on since.
    head = AuditHead.objects.first() or AuditHead(seq=0, hash=GENESIS)
    last = to_seq if to_seq is not None else max(newest, head.seq)
    walk = _Walk(seq=from_seq - 1, hash=_hash_before(from_seq), erasable=erased_through())
    events = AuditEvent.objects.filter(seq__gte=from_seq, seq__lte=last).order_by("seq")
    for event in events.iterator(chunk_size=500):
        walk.check(event)
        if len(walk.breaks) >= MAX_BREAKS:
            break
    else:
        walk.check_end(last, head if to_seq is None else None)
    return ChainReport(from_seq, last, walk.checked, tuple(walk.breaks), walk.erased)


def erased_through() -> int:
    """The last event that retention put on record as erased; 0 if it never erased any.

    By the body, which the hash covers: the columns may say more.
    """
    said = AuditEvent.objects.filter(action=ERASED).order_by("-seq").first()
    if said is None or bytes(said.hash) != link(
        seq=said.seq, prev=bytes(said.prev), body=said.body.encode()
    ):
        return 0
    return int(json.loads(said.body)["detail"]["through"])


@dataclass(slots=True)
class _Walk:
    """One walk along the chain: the last event seen, and what didn't hold so far."""

    seq: int
    hash: bytes
    erasable: int
    checked: int = 0
    erased: int = 0
    breaks: list[Break] = field(default_factory=list)

    def check(self, event: AuditEvent) -> None:
        body, prev = event.body.encode(), bytes(event.prev)
        if event.seq != self.seq + 1:
            self._report(self.seq + 1, "sequence", f"missing up to {event.seq - 1}")
        elif prev != self.hash:
            self._report(event.seq, "link", "it doesn't hang on its predecessor")
        if event.is_erased:
            self._check_erased(event)
        else:
            self._check_content(event, body)
        self.seq, self.hash, self.checked = event.seq, bytes(event.hash), self.checked + 1

    def _check_content(self, event: AuditEvent, body: bytes) -> None:
        if bytes(event.hash) != link(seq=event.seq, prev=bytes(event.prev), body=body):
            self._report(event.seq, "hash", "its hash is not that of its body")
        if body != dumps(event.describe()):
            self._report(event.seq, "columns", "its columns don't say what its body says")

    def _check_erased(self, event: AuditEvent) -> None:
        self.erased += 1
        if event.seq > self.erasable:
            self._report(event.seq, "erased", "its content is gone, and no retention says so")
        if any(value is not None for value in facts_of(event).values()):
            self._report(event.seq, "columns", "it says something although its content is gone")

    def check_end(self, last: int, head: AuditHead | None) -> None:
        """Hold the last event against where the walk should have ended, and against the head."""
        if self.seq < last:
            self._report(self.seq + 1, "sequence", f"missing up to {last}")
        if head and head.seq <= self.seq and (head.seq, bytes(head.hash)) != (self.seq, self.hash):
            self._report(head.seq, "head", "the head is not the last event")

    def _report(self, seq: int, check: str, detail: str) -> None:
        self.breaks.append(Break(seq, check, detail))


def _hash_before(seq: int) -> bytes:
    """What event `seq` must hang on; for a predecessor that is missing nothing fits."""
    if seq <= 1:
        return GENESIS
    before = AuditEvent.objects.filter(seq=seq - 1).values_list("hash", flat=True).first()
    return bytes(before) if before is not None else b"missing"
