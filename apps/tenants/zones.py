"""The time zones that a person can choose, and the one that a request's times are written in."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, tzinfo
from functools import cache
from typing import Any, Final

DEFAULT: Final = "UTC"
REGIONS: Final = frozenset(
    {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic"}
    | {"Australia", "Europe", "Indian", "Pacific"}
)


@cache
def choices() -> list[Any]:
    """UTC, then the cities of each region; the old names that the database keeps are left out."""
    regions: dict[str, list[tuple[str, str]]] = {}
    for zone in sorted(zoneinfo.available_timezones()):
        region, _, city = zone.partition("/")
        if city and region in REGIONS:
            label = city.replace("_", " ").replace("/", ", ")
            regions.setdefault(region, []).append((zone, label))
    return [(DEFAULT, DEFAULT), *regions.items()]


def zone_of(user: Any) -> tzinfo:
    """The person's own zone; UTC for a stranger, and where the chosen one is no longer known."""
    name = getattr(user, "time_zone", DEFAULT)
    if name == DEFAULT:
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return UTC
