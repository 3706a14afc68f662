"""The log verifies itself: what the page and `POST /v1/audit/verify` answer.

It finds what went wrong beside it: a changed row, a lost one, a tile, a head. Who rules the
database and its keys can answer anything here: against them stand the checkpoints that have left
it, and the offline verifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from apps.common.errors import Invalid
from apps.common.ids import born_at
from apps.trust import records
from apps.trust.entries import newest_checkpoint
from apps.trust.errors import DISPLACED, Reason, SignatureInvalid
from apps.trust.models import AuditEvent, Checkpoint, CheckpointCopy, Leaf
from apps.trust.note import note_keys, verify
from apps.trust.places import misplaced_events, misplaced_records
from apps.trust.selectors import ChainReport, jwks, verify_chain
from apps.trust.services import sealer
from apps.trust.tree import open_tree

EVENTS: Final = 5_000
"""How many of the newest events one check recomputes; the offline verifier takes them all."""
RECORDS: Final = 500
"""How many of the newest digests it holds against their decisions and runs, likewise."""
HEADS: Final = 50
PATIENCE: Final = timedelta(minutes=5)
"""How long something may wait to be sealed or copied before that is said."""
LATE: Final = "nobody has come by"


@dataclass(frozen=True, slots=True)
class Check:
    """One property of the log: whether it holds, and what was looked at or found.

    Not to hold is a warning where only something around the log is behind.
    """

    name: str
    ok: bool
    detail: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; the log is valid if nothing but warnings is wrong with it."""

    checks: tuple[Check, ...]
    checkpoint: Checkpoint
    from_seq: int
    to_seq: int

    @property
    def valid(self) -> bool:
        return all(check.ok or check.is_warning for check in self.checks)


def verify_log(*, at: datetime, from_seq: int | None = None, to_seq: int | None = None) -> Report:
    """Check the chain (the newest EVENTS of it unless told), the newest records, the tree, its
    heads and their copies.

    A range is cut to EVENTS, from its end. Raises Invalid for one that begins beyond the end.
    """
    newest = newest_checkpoint()
    last = AuditEvent.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    end = last if to_seq is None else to_seq
    if from_seq is not None and from_seq > max(1, last):
        raise Invalid.of("from_seq", f"The log ends at entry {last}.")
    if from_seq is not None and from_seq > max(1, end):
        raise Invalid.of("from_seq", f"It comes after the end that is asked for, entry {end}.")
    start = max(1, from_seq or 1, end - EVENTS + 1)
    chain = verify_chain(start, to_seq if to_seq is not None and to_seq < last else None)
    checks = (
        _chain(chain),
        _leaves(chain.from_seq, chain.to_seq),
        _records(),
        _tree(newest),
        _heads(newest),
        _signature(newest),
        _sealing(newest, at),
        *_copies(newest, at),
    )
    return Report(checks, newest, chain.from_seq, chain.to_seq)


def _chain(report: ChainReport) -> Check:
    if report.breaks:
        found = report.breaks[0]
        detail = f"Entry {found.seq}: {found.detail}{_more(report.breaks)}."
        return Check("chain", False, detail)
    erased = f", {report.erased} of them erased by retention" if report.erased else ""
    span = f"{report.from_seq} to {report.to_seq}" if report.checked else "none yet"
    return Check("chain", True, f"Entries {span}: {report.checked} checked{erased}.")


def _leaves(start: int, end: int) -> Check:
    """That the tree has these events, and the newest records, at their places."""
    wrong = [f"Entry {seq}" for seq in misplaced_events(start, end)]
    wrong += [f"The record of {name}" for name in misplaced_records(RECORDS)]
    if wrong:
        return Check("leaves", False, f"{wrong[0]} is not in the tree at its place{_more(wrong)}.")
    return Check("leaves", True, "Every one of them is in the tree at its place.")


def _records() -> Check:
    """That the newest decisions and finished runs left a digest, and still say what they said, and
    that decisions have the documents that they were made of.
    """
    unleft = list(records.find_unleft(RECORDS))
    if unleft:
        return Check("records", False, f"{unleft[0]} left no digest{_more(unleft)}.")
    newest = records.tell(list(Leaf.objects.order_by("-id")[:RECORDS]))
    changed = [told.id for told in newest if not told.matches]
    if changed:
        return Check("records", False, f"{changed[0]} no longer says what it said{_more(changed)}.")
    altered = list(records.find_altered(RECORDS))
    if altered:
        detail = f"The document of {altered[0]} is not the one it was decided by{_more(altered)}."
        return Check("records", False, detail)
    return Check("records", True, f"The newest {len(newest)} digests are of what still stands.")


def _more(found: Sequence[object]) -> str:
    return f", and {len(found) - 1} more" if len(found) > 1 else ""


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
        return _unbelieved(newest, error)
    if (head.size, head.root) != (newest.size, bytes(newest.root)):
        return Check("signature", False, f"Checkpoint {newest.number} signs another head.")
    words = "one published key" if len(signers) == 1 else f"{len(signers)} published keys"
    return Check("signature", True, f"Checkpoint {newest.number} is signed by {words}.")


def _unbelieved(newest: Checkpoint, error: SignatureInvalid) -> Check:
    """For the seconds after its key was revoked the newest checkpoint has none that counts."""
    is_followed = AuditEvent.objects.filter(seq__gt=newest.seq_to).exists()
    passes = is_followed and error.reason == Reason.KEY_UNKNOWN
    ending = "; the next one is due" if passes else ""
    detail = f"Checkpoint {newest.number}: {error.detail}{ending}."
    return Check("signature", False, detail, is_warning=passes)


def _sealing(newest: Checkpoint, at: datetime) -> Check:
    """That the sealer comes by, and can go on where it was."""
    if sealer.oldest_running() < newest.xid_to:
        return Check("sealing", False, f"Nothing is sealed any more: {DISPLACED}.")
    entry = AuditEvent.objects.filter(seq__gt=newest.seq_to).order_by("seq").first()
    leaf = Leaf.objects.filter(xid__gte=newest.xid_to).order_by("xid", "id").first()
    since = min((born_at(found.id) for found in (entry, leaf) if found), default=at)
    if at - since > PATIENCE:
        detail = f"Something has waited to be sealed since {since:%Y-%m-%d %H:%M} UTC."
        return Check("sealing", False, detail, is_warning=True)
    return Check("sealing", True, "What is new is sealed within seconds.")


def _copies(newest: Checkpoint, at: datetime) -> Iterator[Check]:
    """How far the checkpoints have left the database; a copy that failed is no fault of the log,
    one that can't be is.
    """
    for copy in CheckpointCopy.objects.order_by("sink"):
        name, what = f"copy:{copy.sink}", f"Copied up to checkpoint {copy.number}"
        if copy.number > newest.number:
            yield Check(name, False, f"{what}, and the log ends at {newest.number}.")
        elif copy.differs:
            yield Check(name, False, f"{what}; then: {copy.failure}.")
        elif copy.failure or _is_late(copy, at):
            yield Check(name, False, f"{what}; since then: {copy.failure or LATE}.", True)
        else:
            yield Check(
                name, True, f"{what}." if copy.number == newest.number else f"{what} so far."
            )


def _is_late(copy: CheckpointCopy, at: datetime) -> bool:
    owed = Checkpoint.objects.filter(number__gt=copy.number).order_by("number").first()
    return owed is not None and at - born_at(owed.id) > PATIENCE
