"""Records of higher apps that leave digests: how each kind is named and read back.

A registry, for this app knows none of them. What a record says is one text, and its leaf has the
text's SHA-256; so whoever has the text can check it, and whoever has only the leaf can't read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from apps.common.errors import NotFound
from apps.common.ids import public_id
from apps.trust.leaves import leaf_line
from apps.trust.models import Leaf


@dataclass(frozen=True, slots=True)
class Kind:
    """How records of a kind are named (`run_…`), read, missed and guarded.

    `tell` gives, by the ids of leaves, what their records say now, by the same rule as when they
    were left; without those that aren't there. `find_unleft` looks through so many of the newest
    records for those that left nothing, `find_altered` for those beside which something is kept
    that isn't what they hold a digest of. Who may read what they say has the permission `needs`.
    """

    prefix: str
    tell: Callable[[Sequence[UUID]], dict[UUID, str]]
    find_unleft: Callable[[int], list[UUID]]
    needs: str
    find_altered: Callable[[int], list[UUID]] = lambda limit: []


@dataclass(frozen=True, slots=True)
class Told:
    """A record as its leaf and its row tell it; without a text, its row can't be read."""

    leaf: Leaf
    text: str | None

    @property
    def id(self) -> str:
        kind = _kinds.get(self.leaf.kind)
        return public_id(kind.prefix if kind else self.leaf.kind, self.leaf.subject_id)

    @property
    def kind(self) -> str:
        return self.leaf.kind

    @property
    def digest(self) -> str:
        return bytes(self.leaf.digest).hex()

    @property
    def line(self) -> str:
        """As it stands in the tree."""
        digest = bytes(self.leaf.digest)
        return leaf_line(kind=self.leaf.kind, subject_id=self.leaf.subject_id, digest=digest)

    @property
    def salt(self) -> str | None:
        """What the fingerprints in the text begin with."""
        return (self.leaf.aside or {}).get("salt")

    @property
    def matches(self) -> bool:
        """Whether it still says what it said."""
        said = (self.text or "").encode()
        return self.text is not None and hashlib.sha256(said).hexdigest() == self.digest


_kinds: Final[dict[str, Kind]] = {}


def register(name: str, kind: Kind) -> None:
    _kinds[name] = kind


def kind_of(prefix: str) -> str:
    """The kind that ids with this prefix name; raises NotFound."""
    for name, kind in _kinds.items():
        if kind.prefix == prefix:
            return name
    raise NotFound


def permission_for(kind: str) -> str:
    """What it takes to read what records of a kind say."""
    return _kinds[kind].needs


def tell(leaves: Sequence[Leaf]) -> list[Told]:
    """What the records of these leaves say now, beside what they said; one query a kind."""
    texts: dict[UUID, str] = {}
    for name, kind in _kinds.items():
        if ids := [leaf.id for leaf in leaves if leaf.kind == name]:
            texts |= kind.tell(ids)
    return [Told(leaf, texts.get(leaf.id)) for leaf in leaves]


def find_unleft(limit: int) -> Iterable[str]:
    """Records that should have left a digest and haven't, among so many of the newest of a kind."""
    for kind in _kinds.values():
        yield from (public_id(kind.prefix, found) for found in kind.find_unleft(limit))


def find_altered(limit: int) -> Iterable[str]:
    """Records whose document is another by now, among so many of the newest of a kind."""
    for kind in _kinds.values():
        yield from (public_id(kind.prefix, found) for found in kind.find_altered(limit))
