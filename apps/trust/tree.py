"""The present org's tree, as its tiles in Postgres keep it."""

from __future__ import annotations

from collections.abc import Iterable

from apps.trust.merkle import Place, Tree
from apps.trust.models import Tile


def open_tree(size: int) -> Tree:
    """The tree of the first `size` leaves; tiles are read when they are needed."""
    return Tree(size, _read)


def keep(tiles: Iterable[tuple[Place, bytes]]) -> None:
    """Write the tiles that an append has changed."""
    rows = [Tile(level=level, index=index, hashes=data) for (level, index), data in tiles]
    Tile.objects.bulk_create(
        rows,
        update_conflicts=True,
        update_fields=["hashes"],
        unique_fields=["org_id", "level", "index"],
    )


def _read(level: int, index: int) -> bytes:
    rows = Tile.objects.filter(level=level, index=index).values_list("hashes", flat=True)
    return bytes(rows.first() or b"")
