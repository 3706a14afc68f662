"""How times, durations, money and hashes are written for people. Pure: no request, no clock.

The clock comes in as an argument, so that a page and its test write the same words.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from django.utils import timezone

NONE: Final = "—"
MINUS: Final = "−"
_DAY: Final = timedelta(days=1)


def moment(value: datetime, *, now: datetime) -> str:
    """Write a time relatively within a day of now, then as "Nov 18, 09:12", in the active zone.

    The year appears only when it is not this one.
    """
    distance = abs(now - value)
    if distance < _DAY:
        return _relative(distance, future=value > now)
    local, here = timezone.localtime(value), timezone.localtime(now)
    day = f"{local:%b} {local.day}"
    return f"{day}, {local:%H:%M}" if local.year == here.year else f"{day}, {local.year}"


def _relative(distance: timedelta, *, future: bool) -> str:
    minutes = int(distance.total_seconds()) // 60
    if minutes < 1:
        return "in a moment" if future else "just now"
    length = f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"
    return f"in {length}" if future else f"{length} ago"


def moment_utc(value: datetime) -> str:
    """Write a time to the second with its zone, for titles, signatures and logs."""
    return f"{value.astimezone(timezone.get_fixed_timezone(0)):%Y-%m-%d %H:%M:%S} UTC"


def duration(milliseconds: float | None) -> str:
    """Write < 1 ms, 36 ms, 1.38 s, 2 m 04 s or 3 h 05 m."""
    if milliseconds is None:
        return NONE
    if 0 < milliseconds < 0.5:
        return "< 1 ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def dollars_of_cents(cents: int | None) -> str:
    """Write an amount that people set, in whole cents: $1,124.03."""
    return NONE if cents is None else _dollars(Decimal(cents) / 100, places=2)


def dollars_of_micros(micros: int | None) -> str:
    """Write a cost in micro-USD; below a cent with the digits that make it a number: $0.0042."""
    if micros is None:
        return NONE
    below_a_cent = 0 < abs(micros) < 10_000
    return _dollars(Decimal(micros) / 1_000_000, places=6 if below_a_cent else 2)


def _dollars(amount: Decimal, *, places: int) -> str:
    digits = f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN).copy_abs():,f}"
    if places > 2:
        digits = digits.rstrip("0")
    return f"{MINUS if amount < 0 else ''}${digits}"


def count(value: int | None) -> str:
    """Write a count with its thousands apart: 4,102."""
    return NONE if value is None else f"{value:,}".replace("-", MINUS)


def at_most(number: int, most: int) -> str:
    """Write a number that was counted up to `most`: "9+" where that is 10; 0 is nothing."""
    return f"{most - 1}+" if number >= most else str(number or "")


def percent(share: float | None) -> str:
    """Write a share of 1 as a percentage with one digit, or none when it is round: 97.4%."""
    if share is None:
        return NONE
    return f"{share * 100:.1f}%".replace(".0%", "%").replace("-", MINUS)


def short_hash(value: str) -> str:
    """Shorten a digest to its first and last four digits, keeping the algorithm's name."""
    algorithm, colon, digits = value.rpartition(":")
    if len(digits) <= 12:
        return value
    return f"{algorithm}{colon}{digits[:4]}…{digits[-4:]}"
