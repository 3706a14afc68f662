"""The tree against the definitions of RFC 9162, and its proofs against every lie of one step."""

import hashlib

import pytest

from apps.trust import merkle
from apps.trust.merkle import EMPTY, HASH, Tree, leaf_hash, node_hash

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 255, 256, 257, 300, 511, 512, 513, 700]
LEAVES = [leaf_hash(str(n).encode()) for n in range(max(SIZES))]


class Memory:
    """Tiles as a dictionary; counts the reads."""

    def __init__(self):
        self.tiles, self.reads = {}, 0

    def read(self, level, index):
        self.reads += 1
        return self.tiles.get((level, index), b"")

    def grow(self, sizes):
        """Append up to each size in turn, by a new tree each, as seals do."""
        size = 0
        for target in sizes:
            tree = Tree(size, self.read)
            tree.append(LEAVES[size:target])
            self.tiles |= dict(tree.changed)
            size = target
        return Tree(size, self.read)


@pytest.fixture(scope="module")
def tree():
    return Memory().grow(SIZES)


def defined_root(hashes):
    """MTH of RFC 9162 2.1.1, as it is written there."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(defined_root(hashes[:k]), defined_root(hashes[k:]))


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_the_one_of_the_definition(tree, size):
    assert tree.root(size) == defined_root(LEAVES[:size])


def test_hashes_are_those_of_the_rfc():
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()
    assert (
        node_hash(b"a" * 32, b"b" * 32) == hashlib.sha256(b"\x01" + b"a" * 32 + b"b" * 32).digest()
    )
    assert Tree(0, Memory().read).root() == EMPTY == hashlib.sha256(b"").digest()


def test_it_makes_no_difference_in_how_many_seals_a_tree_grew():
    at_once, one_by_one = Memory(), Memory()
    assert at_once.grow([600]).root() == one_by_one.grow(range(1, 601)).root()
    assert at_once.tiles == one_by_one.tiles


def test_tiles_are_full_but_the_last_of_each_level(tree):
    memory = Memory()
    memory.grow([700])

    assert {place: len(tile) // HASH for place, tile in memory.tiles.items()} == {
        (0, 0): 256,
        (0, 1): 256,
        (0, 2): 188,
        (1, 0): 2,
    }


@pytest.mark.parametrize("size", [1, 2, 7, 256, 257, 700])
def test_every_leaf_is_proved(tree, size):
    root = tree.root(size)
    for index in range(0, size, max(1, size // 40)):
        proof = {"index": index, "size": size, "path": tree.inclusion(index, size), "root": root}
        assert merkle.verify_inclusion(leaf=LEAVES[index], **proof)


def test_no_other_leaf_place_size_path_or_root_is(tree):
    index, size = 300, 700
    path, root = tree.inclusion(index, size), tree.root(size)
    true = {"index": index, "size": size, "leaf": LEAVES[index], "path": path, "root": root}
    wrong = [
        {"leaf": LEAVES[index + 1]},
        {"index": index + 1},
        {"index": size},
        {"index": -1},
        {"size": 300},
        {"path": path[:-1]},
        {"path": [*path, path[0]]},
        {"path": path[::-1]},
        {"path": [path[1], *path[1:]]},
        {"root": tree.root(699)},
    ]

    assert merkle.verify_inclusion(**true)
    assert [lie for lie in wrong if merkle.verify_inclusion(**true | lie)] == []


@pytest.mark.parametrize("size", [1, 2, 7, 8, 256, 257, 513, 700])
def test_a_tree_begins_with_each_that_it_was(tree, size):
    for old in sorted(
        {1, 2, 3, 4, 6, 7, 8, 128, 255, 256, 257, 512, size} & set(range(1, size + 1))
    ):
        assert merkle.verify_consistency(
            old=old,
            size=size,
            path=tree.consistency(old, size),
            old_root=tree.root(old),
            root=tree.root(size),
        )


def test_no_other_beginning_is_proved(tree):
    old, size = 300, 700
    path = tree.consistency(old, size)
    true = {"old": old, "size": size, "path": path} | {
        "old_root": tree.root(old),
        "root": tree.root(size),
    }
    wrong = [
        {"old_root": tree.root(299)},
        {"root": tree.root(699)},
        {"old": 299},
        {"old": 0},
        {"old": 701},
        {"size": 300},
        {"path": path[1:]},
        {"path": [*path, path[0]]},
        {"path": []},
    ]

    assert merkle.verify_consistency(**true)
    assert [lie for lie in wrong if merkle.verify_consistency(**true | lie)] == []


def test_a_proof_reads_few_tiles():
    memory = Memory()
    memory.grow([700])
    memory.reads = 0
    Tree(700, memory.read).inclusion(10, 700)

    assert memory.reads <= 4


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_the_tiles_of_a_root_and_of_a_proof_are_known_beforehand(size):
    memory = Memory()
    memory.grow([700])
    asked = set()

    def read(level, index):
        asked.add((level, index))
        return memory.read(level, index)

    Tree(size, read).root()
    assert asked <= merkle.places_of_root(size)
    Tree(size, read).inclusion(size // 3, size)
    assert asked <= merkle.places_of_root(size) | merkle.places_above(size // 3, size)


def test_a_lost_tile_makes_another_root_and_no_proof():
    memory = Memory()
    whole = memory.grow([300]).root()
    del memory.tiles[0, 1]
    damaged = Tree(300, memory.read)

    assert damaged.root() != whole
    path = damaged.inclusion(0, 300)
    assert not merkle.verify_inclusion(index=0, size=300, leaf=LEAVES[0], path=path, root=whole)
