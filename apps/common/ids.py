"""Public identifiers: a prefix that names the kind and the 32 hex digits of a UUIDv7."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import uuid_utils.compat

from apps.common.errors import NotFound

_HEX32: Final = re.compile(r"[0-9a-f]{32}")


def uuid7() -> UUID:
    """Make an id that sorts by its time of birth (RFC 9562 §5.7), so that new index entries land
    on the same few pages; within one process each is greater than the one before.
    """
    return uuid_utils.compat.uuid7()


def born_at(value: UUID) -> datetime:
    """When an id was made, to the millisecond, by the clock of whoever made it."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def public_id(prefix: str, value: UUID) -> str:
    """Write an id as people and programs see it: `prj_0190…`."""
    return f"{prefix}_{value.hex}"


def parse_id(prefix: str, text: str) -> UUID:
    """Read back what `public_id` wrote.

    One id has one spelling: upper case, dashes and braces, which UUID() would take, are refused.
    Raises NotFound, for an id that can't exist isn't there; so a guessed, a foreign and a
    malformed id are answered alike.
    """
    kind, _, digits = text.partition("_")
    if kind != prefix or not _HEX32.fullmatch(digits):
        raise NotFound
    return UUID(digits)
