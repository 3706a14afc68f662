"""Proofs about the present org's tree: that something is in it, and that it only ever grew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Q

from apps.common.errors import NotFound
from apps.trust.entries import newest_checkpoint
from apps.trust.errors import NotSealed, ProofFails
from apps.trust.leaves import hash_of_event, hash_of_leaf
from apps.trust.merkle import verify_inclusion
from apps.trust.models import AuditEvent, Checkpoint, Leaf
from apps.trust.tree import open_tree

LEAVES: Final = 100
"""How many of a record's leaves are told."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a leaf has its place in the tree of a checkpoint (RFC 9162 §2.1.3)."""

    index: int
    hash: bytes
    path: list[bytes]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of one checkpoint begins with that of an older one (RFC 9162 §2.1.4)."""

    old: Checkpoint
    new: Checkpoint
    path: list[bytes]


def get_event(seq: int) -> AuditEvent:
    """Raises NotFound."""
    found = AuditEvent.objects.filter(seq=seq).first()
    if found is None:
        raise NotFound
    return found


def list_leaves(*, kind: str, subject_id: UUID) -> list[Leaf]:
    """What a record left, the newest first; raises NotFound if it left nothing (yet)."""
    found = Leaf.objects.filter(subject_id=subject_id, kind=kind).order_by("-xid", "-id")
    if leaves := list(found[:LEAVES]):
        return leaves
    raise NotFound


def get_checkpoint(number: int) -> Checkpoint:
    """Raises NotFound."""
    found = Checkpoint.objects.filter(number=number).first()
    if found is None:
        raise NotFound
    return found


def prove_event(event: AuditEvent) -> Inclusion:
    """Raises NotSealed for an event that came after the newest checkpoint, ProofFails for one that
    isn't in its tree at its place.
    """
    taken = Checkpoint.objects.filter(seq_to__gte=event.seq).order_by("seq_to", "number").first()
    if taken is None:
        raise NotSealed
    index = taken.size_before + event.seq - taken.seq_from - 1
    return _prove(index, hash_of_event(bytes(event.hash)))


def prove_leaf(leaf: Leaf) -> Inclusion:
    """Raises NotSealed for a leaf that the newest checkpoint didn't take in, ProofFails for one
    that isn't in its tree at its place.
    """
    taken = Checkpoint.objects.filter(xid_to__gt=leaf.xid).order_by("xid_to", "number").first()
    if taken is None:
        raise NotSealed
    before = Leaf.objects.filter(xid__gte=taken.xid_from, xid__lte=leaf.xid).filter(
        Q(xid__lt=leaf.xid) | Q(id__lt=leaf.id)
    )
    index = taken.size_before + (taken.seq_to - taken.seq_from) + before.count()
    digest = bytes(leaf.digest)
    return _prove(index, hash_of_leaf(kind=leaf.kind, subject_id=leaf.subject_id, digest=digest))


def prove_growth(*, old: Checkpoint, new: Checkpoint) -> Consistency:
    """Raises NotFound if the older one is the newer one."""
    if old.number > new.number:
        raise NotFound
    return Consistency(
        old, new, open_tree(new.size, sizes=[old.size]).consistency(old.size, new.size)
    )


def _prove(index: int, value: bytes) -> Inclusion:
    """Raises ProofFails rather than give a proof that doesn't hold."""
    newest = newest_checkpoint()
    path = open_tree(newest.size, leaf=index).inclusion(index, newest.size)
    root = bytes(newest.root)
    if not verify_inclusion(index=index, size=newest.size, leaf=value, path=path, root=root):
        raise ProofFails
    return Inclusion(index, value, path, newest)
