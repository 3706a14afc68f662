"""Records of higher apps that leave digests: how each kind is named and read back.

A registry, for this app knows none of them. What a record says is one text, and its leaf has the
text's SHA-256; so whoever has the text can check it, and whoever has only the leaf can't read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from apps.common.errors import NotFound
from apps.trust.leaves import leaf_line
from apps.trust.models import Leaf

Tell = Callable[[UUID], str | None]
"""What the record says now, by the same rule as when it was left; None if it isn't there."""


@dataclass(frozen=True, slots=True)
class Told:
    """A record as its leaf and its row tell it."""

    id: str
    kind: str
    digest: str
    line: str
    text: str | None

    @property
    def matches(self) -> bool | None:
        """Whether it still says what it said; None if its row can't be read."""
        if self.text is None:
            return None
        return hashlib.sha256(self.text.encode()).hexdigest() == self.digest


_kinds: Final[dict[str, tuple[str, Tell]]] = {}


def register(kind: str, *, prefix: str, tell: Tell) -> None:
    """Say how records of a kind are named (`run_…`) and read."""
    _kinds[prefix] = (kind, tell)


def kind_of(prefix: str) -> str:
    """The kind that ids with this prefix name; raises NotFound."""
    if prefix not in _kinds:
        raise NotFound
    return _kinds[prefix][0]


def tell(leaf: Leaf, *, named: str) -> Told:
    """What the record of a leaf says now, beside what it said."""
    _, read = _kinds[named.partition("_")[0]]
    digest = bytes(leaf.digest)
    return Told(
        id=named,
        kind=leaf.kind,
        digest=digest.hex(),
        line=leaf_line(kind=leaf.kind, subject_id=leaf.subject_id, digest=digest),
        text=read(leaf.subject_id),
    )
