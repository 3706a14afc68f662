"""The Merkle tree of RFC 9162 §2.1, kept as tiles: pure mathematics, whoever keeps the tiles.

A tile holds up to 256 neighbouring hashes of one height (C2SP tlog-tiles), so 10,000 leaves are 41
of them, and appending or proving reads a few. `verify_inclusion` and `verify_consistency` need no
tree at all, only what a proof says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

HASH: Final = 32
WIDTH: Final = 256
_HEIGHT: Final = 8  # of a tile: 2**8 == WIDTH
EMPTY: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

LOST: Final = bytes(HASH)
"""Stands for what a lost or cut tile held: no hash, so that nothing over it comes out right."""

Place = tuple[int, int]
Read = Callable[[int, int], bytes]
"""Gives the hashes of the tile at (level, index); nothing if there is none yet."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree of `size` leaves, read through its tiles; `changed` are the tiles to be kept again."""

    def __init__(self, size: int, read: Read) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[Place, bytearray] = {}
        self._changed: set[Place] = set()

    @property
    def changed(self) -> list[tuple[Place, bytes]]:
        return [(place, bytes(self._tiles[place])) for place in sorted(self._changed)]

    def append(self, hashes: Iterable[bytes]) -> None:
        """Add leaves by their hashes, in order."""
        for each in hashes:
            self._put(0, self.size, each)
            self.size += 1

    def root(self, size: int | None = None) -> bytes:
        """The root of the whole tree, or of its first `size` leaves."""
        high = self.size if size is None else size
        return self._range(0, high) if high else EMPTY

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Prove that the leaf `index` is in the tree of the first `size` leaves (§2.1.3.1)."""
        path, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Prove that the tree of `size` begins with that of `old` leaves (§2.1.4.1)."""
        path, low, high, left, whole = [], 0, size, old, True
        while left != high - low:
            middle = low + _split(high - low)
            if left <= middle - low:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                left, low, whole = left - (middle - low), middle, False
        if not whole:
            path.append(self._range(low, high))
        return path[::-1]

    def _tile(self, level: int, index: int) -> bytearray:
        place = (level, index)
        if place not in self._tiles:
            self._tiles[place] = bytearray(self._read(level, index))
        return self._tiles[place]

    def _put(self, level: int, index: int, value: bytes) -> None:
        tile = self._tile(level, index // WIDTH)
        # What lies beyond the tree's size is left over from nothing that counts.
        del tile[HASH * (index % WIDTH) :]
        tile += value
        self._changed.add((level, index // WIDTH))
        if len(tile) == HASH * WIDTH:  # a full tile is one hash of the level above
            self._put(level + 1, index // WIDTH, _fold(tile))

    def _range(self, low: int, high: int) -> bytes:
        """The hash over the leaves [low, high), which an ancestor of theirs splits off."""
        count = high - low
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, low // count)
        middle = low + _split(count)
        return node_hash(self._range(low, middle), self._range(middle, high))

    def _node(self, height: int, index: int) -> bytes:
        """The hash of the full subtree number `index` of 2**height leaves."""
        level, inside = divmod(height, _HEIGHT)
        first = index << inside
        tile, start = self._tile(level, first // WIDTH), first % WIDTH
        found = tile[HASH * start : HASH * (start + (1 << inside))]
        return _fold(found) if len(found) == HASH << inside else LOST


def places_of_root(size: int) -> set[Place]:
    """The tiles that the root over `size` leaves is made of: the last of each level."""
    levels = range((size.bit_length() + _HEIGHT - 1) // _HEIGHT)
    ends = ((level, (size >> _HEIGHT * level) - 1) for level in levels)
    return {(level, end // WIDTH) for level, end in ends if end >= 0}


def places_above(index: int, size: int) -> set[Place]:
    """The tiles that a proof for the leaf `index` needs besides those of the root."""
    levels = range((size.bit_length() + _HEIGHT - 1) // _HEIGHT)
    return {(level, (index >> _HEIGHT * level) // WIDTH) for level in levels}


def verify_inclusion(
    *, index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes
) -> bool:
    """Whether the leaf with this hash is number `index` of the tree with this root (§2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            value = node_hash(sibling, value)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and value == root


def verify_consistency(
    *, old: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes
) -> bool:
    """Whether the tree of `size` begins with the tree of `old` leaves (§2.1.4.2)."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not path and old_root == root
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not steps:
        return False
    before = now = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, now = node_hash(step, before), node_hash(step, now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = node_hash(now, step)
        at, last = at >> 1, last >> 1
    return last == 0 and before == old_root and now == root


def _split(count: int) -> int:
    """The largest power of two below `count`: where the tree over so many leaves is split."""
    return 1 << (count - 1).bit_length() - 1


def _fold(hashes: bytes | bytearray) -> bytes:
    """The one hash over a power of two of neighbouring hashes."""
    data = bytes(hashes)
    level = [data[at : at + HASH] for at in range(0, len(data), HASH)]
    while len(level) > 1:
        level = [node_hash(*pair) for pair in zip(level[::2], level[1::2], strict=True)]
    return level[0]
