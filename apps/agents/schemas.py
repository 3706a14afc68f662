"""JSON Schemas of what agents take and give, as a manifest can hold them."""

from __future__ import annotations

import json
from typing import Any

from apps.common.errors import Invalid
from apps.common.json import Object
from apps.common.schemas import check_schema
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid


def checked_schema(schema: Any, *, field: str) -> Object:
    """A schema that is one and that the manifest can hold; raises Invalid naming `field`."""
    checked = check_schema(schema, field=field)
    try:
        kept = json.loads(json.dumps(checked), parse_float=_kept_float)
        dumps({"schema": kept})
    except JsonInvalid as error:
        raise Invalid.of(field, f"This can't be held exactly: {error}.") from error
    return checked


def _kept_float(digits: str) -> float:
    """A number as the database gives it back: 1e16 comes back as a whole number, and those are
    held exactly only so far (RFC 7493 §2.2).
    """
    number = float(digits)
    return int(number) if number.is_integer() else number
