"""Event streams as a client reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Told:
    """One event; `id` is None of the last one, `end`."""

    id: int | None
    kind: str
    data: dict[str, Any]


def read_event(lines: list[str]) -> Told | None:
    """The event that stands in a block of lines; None for a comment or `retry`."""
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
    if "data" not in fields:
        return None
    number = fields.get("id")
    return Told(int(number) if number else None, fields["event"], json.loads(fields["data"]))


def read_stream(content: bytes) -> list[Told]:
    """All events that have arrived whole."""
    blocks = content.decode().split("\n\n")[:-1]
    return [event for block in blocks if (event := read_event(block.split("\n")))]
