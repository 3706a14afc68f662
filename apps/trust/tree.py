"""The present org's tree, as its tiles in Postgres keep it."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from apps.trust.merkle import Place, Tree, places_above, places_of_root
from apps.trust.models import Tile


def open_tree(size: int, *, sizes: Iterable[int] = (), leaf: int | None = None) -> Tree:
    """The tree of the first `size` leaves, with what its root takes at hand by one query.

    So are the tiles of the roots at other `sizes` and of a proof for a `leaf`; any other is read
    when it is needed.
    """
    places = set().union(*map(places_of_root, {size, *sizes}))
    if leaf is not None:
        places |= places_above(leaf, size)
    held = dict.fromkeys(places, b"") | _read_all(places)
    return Tree(size, lambda level, index: held.get((level, index)) or _read(level, index))


def keep(tiles: Iterable[tuple[Place, bytes]]) -> None:
    """Write the tiles that an append has changed."""
    rows = [Tile(level=level, index=index, hashes=data) for (level, index), data in tiles]
    Tile.objects.bulk_create(
        rows,
        update_conflicts=True,
        update_fields=["hashes"],
        unique_fields=["org_id", "level", "index"],
    )


def _read_all(places: set[Place]) -> dict[Place, bytes]:
    if not places:
        return {}
    wanted = Q()
    for level, index in sorted(places):
        wanted |= Q(level=level, index=index)
    rows = Tile.objects.filter(wanted).values_list("level", "index", "hashes")
    return {(level, index): bytes(data) for level, index, data in rows}


def _read(level: int, index: int) -> bytes:
    rows = Tile.objects.filter(level=level, index=index).values_list("hashes", flat=True)
    return bytes(rows.first() or b"")
