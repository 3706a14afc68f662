"""What trust can tell: the published keys, the audit events, and whether their chain holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from django.db.models import Max, QuerySet

from apps.trust.canonical import dumps
from apps.trust.chain import GENESIS, link
from apps.trust.jwk import KeyRing
from apps.trust.models import AuditEvent, AuditHead, SigningKey

MAX_BREAKS: Final = 20


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

    @property
    def valid(self) -> bool:
        return not self.breaks


def get_active_key() -> SigningKey | None:
    """The key that signs now."""
    return SigningKey.objects.filter(state=SigningKey.State.ACTIVE).first()


def list_published_keys() -> QuerySet[SigningKey]:
    """Every key that a verifier may still believe, oldest first."""
    return SigningKey.objects.filter(state__in=SigningKey.PUBLISHED).order_by("created_at", "id")


def jwks() -> dict[str, list[dict[str, str]]]:
    """The org's published keys as a JWK Set (RFC 7517 §5)."""
    return {"keys": list(list_published_keys().values_list("public_jwk", flat=True))}


def get_key_ring() -> KeyRing:
    """What the org's own documents are verified with."""
    return KeyRing.from_jwks(jwks()["keys"])


def list_events(
    *,
    action: str = "",
    subject_type: str = "",
    subject_id: str = "",
    actor_id: str = "",
) -> QuerySet[AuditEvent]:
    """Audit events, newest first; `action` may be a prefix that ends in a dot (`trust.`)."""
    wanted = {"subject_type": subject_type, "subject_id": subject_id, "actor_id": actor_id}
    wanted["action__startswith" if action.endswith(".") else "action"] = action
    chosen = {field: value for field, value in wanted.items() if value}
    return AuditEvent.objects.filter(**chosen).order_by("-seq")


def verify_chain(from_seq: int = 1, to_seq: int | None = None) -> ChainReport:
    """Recompute the chain and say where it doesn't hold.

    Checked for each event: its number follows, it hangs on its predecessor, its hash is that of its
    body, and its columns say what its body says. Up to the end (`to_seq` None) the head must be the
    last event's. Whoever can rewrite rows and head together is only found by a checkpoint that has
    left the database.
    """
    newest = AuditEvent.objects.aggregate(seq=Max("seq"))["seq"] or 0
    # The head comes after `newest`: it can only have moved on since.
    head = AuditHead.objects.first() or AuditHead(seq=0, hash=GENESIS)
    last = to_seq if to_seq is not None else max(newest, head.seq)
    walk = _Walk(seq=from_seq - 1, hash=_hash_before(from_seq))
    events = AuditEvent.objects.filter(seq__gte=from_seq, seq__lte=last).order_by("seq")
    for event in events.iterator(chunk_size=500):
        walk.check(event)
        if len(walk.breaks) >= MAX_BREAKS:
            break
    else:
        walk.check_end(last, head if to_seq is None else None)
    return ChainReport(from_seq, last, walk.checked, tuple(walk.breaks))


@dataclass(slots=True)
class _Walk:
    """One walk along the chain: the last event seen, and what didn't hold so far."""

    seq: int
    hash: bytes
    checked: int = 0
    breaks: list[Break] = field(default_factory=list)

    def check(self, event: AuditEvent) -> None:
        body, prev = event.body.encode(), bytes(event.prev)
        if event.seq != self.seq + 1:
            self._report(self.seq + 1, "sequence", f"missing up to {event.seq - 1}")
        elif prev != self.hash:
            self._report(event.seq, "link", "it doesn't hang on its predecessor")
        if bytes(event.hash) != link(seq=event.seq, prev=prev, body=body):
            self._report(event.seq, "hash", "its hash is not that of its body")
        if body != dumps(event.describe()):
            self._report(event.seq, "columns", "its columns don't say what its body says")
        self.seq, self.hash, self.checked = event.seq, bytes(event.hash), self.checked + 1

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
