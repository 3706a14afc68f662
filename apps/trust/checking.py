"""The log verifies itself: what the page and `POST /v1/audit/verify` answer.

It finds what went wrong beside it: a changed row, a lost one, a tile, a head. Who rules the
database and its keys can answer anything here: against them stand the checkpoints that have left
it, and the offline verifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from apps.trust.entries import newest_checkpoint
from apps.trust.errors import SignatureInvalid
from apps.trust.leaves import hash_of_event, hash_of_leaf
from apps.trust.merkle import HASH, WIDTH
from apps.trust.models import AuditEvent, Checkpoint, CheckpointCopy, Leaf
from apps.trust.note import note_keys, verify
from apps.trust.selectors import ChainReport, jwks, verify_chain
from apps.trust.tree import open_tree, read_leaves

EVENTS: Final = 5_000
"""How many of the newest events one check recomputes; the offline verifier takes them all."""
HEADS: Final = 50


@dataclass(frozen=True, slots=True)
class Check:
    """One property of the log: whether it holds, and what was looked at or found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; the log is valid if every check is."""

    checks: tuple[Check, ...]
    checkpoint: Checkpoint
    from_seq: int
    to_seq: int

    @property
    def valid(self) -> bool:
        return all(check.ok for check in self.checks)


def verify_log(from_seq: int | None = None, to_seq: int | None = None) -> Report:
    """Check the chain (the newest EVENTS of it unless told), the tree, its heads and their copies.

    A range is cut to EVENTS, from its end.
    """
    newest = newest_checkpoint()
    last = AuditEvent.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    end = last if to_seq is None else to_seq
    start = max(1, from_seq or 1, end - EVENTS + 1)
    chain = verify_chain(start, to_seq if to_seq is not None and to_seq < last else None)
    checks = (
        _chain(chain),
        _leaves(newest, chain.from_seq, chain.to_seq),
        _tree(newest),
        _heads(newest),
        _signature(newest),
        *_copies(newest),
    )
    return Report(checks, newest, chain.from_seq, chain.to_seq)


def _chain(report: ChainReport) -> Check:
    if report.breaks:
        found = report.breaks[0]
        more = f" and {len(report.breaks) - 1} more" if len(report.breaks) > 1 else ""
        return Check("chain", False, f"Entry {found.seq}: {found.detail}{more}.")
    erased = f", {report.erased} of them erased by retention" if report.erased else ""
    span = f"{report.from_seq} to {report.to_seq}" if report.checked else "none yet"
    return Check("chain", True, f"Entries {span}: {report.checked} checked{erased}.")


def _leaves(newest: Checkpoint, start: int, end: int) -> Check:
    """That the tree has these events, and the records of the newest checkpoint, at their places."""
    wrong = next(_misplaced(newest, start, end), None)
    if wrong:
        return Check("leaves", False, f"{wrong} is not in the tree at its place.")
    return Check("leaves", True, "Every one of them is in the tree at its place.")


def _misplaced(newest: Checkpoint, start: int, end: int) -> Iterator[str]:
    wanted = [*_events(start, end), *_records(newest)]
    places = [place for place, _, _ in wanted]
    tiles = read_leaves(min(places) // WIDTH, max(places) // WIDTH) if places else {}
    for place, value, name in wanted:
        at = place % WIDTH * HASH
        if tiles.get(place // WIDTH, b"")[at : at + HASH] != value:
            yield name


def _events(start: int, end: int) -> Iterator[tuple[int, bytes, str]]:
    """Of each sealed event its place, hash and name."""
    seals = Checkpoint.objects.filter(seq_to__gte=start, seq_from__lt=end).order_by("number")
    found = AuditEvent.objects.filter(seq__gte=start, seq__lte=end).order_by("seq")
    events = list(found.values_list("seq", "hash"))[::-1]
    for size_before, seq_from, seq_to in seals.values_list("size_before", "seq_from", "seq_to"):
        while events and events[-1][0] <= seq_to:
            seq, value = events.pop()
            yield size_before + seq - seq_from - 1, hash_of_event(bytes(value)), f"Entry {seq}"


def _records(newest: Checkpoint) -> Iterator[tuple[int, bytes, str]]:
    """The same of what the newest checkpoint took in besides events."""
    index = newest.size_before + newest.seq_to - newest.seq_from
    left = Leaf.objects.filter(xid__gte=newest.xid_from, xid__lt=newest.xid_to)
    for place, leaf in enumerate(left.order_by("xid", "id").iterator(), index):
        digest = bytes(leaf.digest)
        value = hash_of_leaf(kind=leaf.kind, subject_id=leaf.subject_id, digest=digest)
        yield place, value, f"The record of {leaf.kind} {leaf.subject_id}"


def _tree(newest: Checkpoint) -> Check:
    """That the tree's root is what the newest checkpoint signed."""
    if open_tree(newest.size).root() == bytes(newest.root or b""):
        return Check(
            "tree", True, f"The tree of {newest.size} leaves has the root that was signed."
        )
    if not newest.number:
        return Check("tree", True, "There is no checkpoint yet; the first is made within seconds.")
    return Check("tree", False, f"The tree of {newest.size} leaves has another root than signed.")


def _heads(newest: Checkpoint) -> Check:
    """That the tree only grew since the checkpoints before the newest."""
    older = list(Checkpoint.objects.order_by("-number")[1 : HEADS + 1])
    tree = open_tree(newest.size, sizes=[head.size for head in older])
    for head in older:
        if tree.root(head.size) != bytes(head.root):
            detail = f"Checkpoint {head.number} signed another tree than the log has now."
            return Check("checkpoints", False, detail)
    return Check("checkpoints", True, f"The tree still begins as {len(older)} older ones signed.")


def _signature(newest: Checkpoint) -> Check:
    if not newest.number:
        return Check("signature", True, "Nothing is signed yet.")
    try:
        head, signers = verify(newest.note, keys=note_keys(jwks()["keys"]))
    except SignatureInvalid as error:
        return Check("signature", False, f"Checkpoint {newest.number}: {error.detail}.")
    if (head.size, head.root) != (newest.size, bytes(newest.root)):
        return Check("signature", False, f"Checkpoint {newest.number} signs another head.")
    words = "one published key" if len(signers) == 1 else f"{len(signers)} published keys"
    return Check("signature", True, f"Checkpoint {newest.number} is signed by {words}.")


def _copies(newest: Checkpoint) -> Iterator[Check]:
    """How far the checkpoints have left the database; a copy that failed is no fault of the log."""
    for copy in CheckpointCopy.objects.order_by("sink"):
        behind = newest.number - copy.number
        what = f"Copied up to checkpoint {copy.number}"
        if behind and copy.failure:
            yield Check(f"copy:{copy.sink}", False, f"{what}; since then: {copy.failure}.")
        else:
            yield Check(f"copy:{copy.sink}", True, f"{what}." if not behind else f"{what} so far.")
