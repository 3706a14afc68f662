"""Keyset pagination: pages that neither skip nor repeat a row while rows are being added.

A page is named by the values of the last row seen, not by a count of rows, so page 10,000 costs
what page 1 costs: the condition is one row comparison, `(created_at, id) < (x, y)`, which a
b-tree over the same columns answers from the middle.
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import accumulate
from typing import Any, Final, Generic, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Func, QuerySet, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.timezone import is_naive

from apps.common.errors import BadRequest, Invalid

ModelT = TypeVar("ModelT", bound=models.Model)

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
PAGE_BYTES: Final = 4 * 1024 * 1024
"""What a page of heavy rows may come to, its first row apart."""
_CURSOR_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Keyset:
    """The columns that order a list, all in one direction, the last one unique.

    The columns must be NOT NULL, for a comparison with NULL is neither true nor false and its row
    would be on no page; an index over exactly these columns makes a page cheap.
    """

    fields: tuple[str, ...] = ("created_at", "id")
    descending: bool = True

    @property
    def order(self) -> list[str]:
        return self._ordered(descending=self.descending)

    @property
    def reverse_order(self) -> list[str]:
        return self._ordered(descending=not self.descending)

    @property
    def tag(self) -> str:
        """What a cursor carries so that it can't be used with another order."""
        return ",".join(self.order)

    def _ordered(self, *, descending: bool) -> list[str]:
        return [f"-{name}" if descending else name for name in self.fields]


NEWEST_FIRST: Final = Keyset()


@dataclass(frozen=True, slots=True)
class Page(Generic[ModelT]):
    """One page in list order, with the cursors of its neighbours; None where the list ends."""

    items: list[ModelT]
    next: str | None
    previous: str | None


def paginate(
    queryset: QuerySet[ModelT],
    *,
    keyset: Keyset = NEWEST_FIRST,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    before: str | None = None,
    heavy: Sequence[str] = (),
) -> Page[ModelT]:
    """Read the page that follows `after`, or precedes `before`, or the first one.

    `heavy` names the JSON columns that may be large; the page ends before they come to more than
    PAGE_BYTES. Raises BadRequest for a cursor that isn't one of this list.
    """
    backwards = before is not None and after is None
    cursor = before if backwards else after
    rows = queryset.order_by(*(keyset.reverse_order if backwards else keyset.order))
    if cursor is not None:
        values = read_cursor(queryset.model, keyset, cursor)
        rows = rows.filter(_beyond(queryset.model, keyset, values, backwards=backwards))
    found, goes_on = _read_light(rows, limit, heavy) if heavy else _read(rows, limit)
    items = found[::-1] if backwards else found
    return Page(
        items=items,
        next=write_cursor(keyset, items[-1]) if items and (goes_on or backwards) else None,
        previous=(
            write_cursor(keyset, items[0])
            if items and (goes_on if backwards else cursor is not None)
            else None
        ),
    )


def _read(rows: QuerySet[ModelT], limit: int) -> tuple[list[ModelT], bool]:
    """The next rows, and whether there are more: one more than asked for is read to know that."""
    found = list(rows[: limit + 1])
    return found[:limit], len(found) > limit


def _read_light(
    rows: QuerySet[ModelT], limit: int, heavy: Sequence[str]
) -> tuple[list[ModelT], bool]:
    """The same, and no more than PAGE_BYTES of them but one at least. The database weighs them
    first, so that what is too much is never sent.
    """
    weighed = list(rows.values_list("pk", _weight(heavy))[: limit + 1])
    totals = accumulate(weight for _, weight in weighed[:limit])
    fits = max(1, sum(total <= PAGE_BYTES for total in totals))
    found = list(rows.filter(pk__in=[pk for pk, _ in weighed[:fits]]))
    return found, fits < len(weighed)


def _weight(columns: Sequence[str]) -> Any:
    """The bytes of these columns as JSON text, together."""
    texts = (Cast(name, models.TextField()) for name in columns)
    sizes = (Func(t, function="octet_length", output_field=models.IntegerField()) for t in texts)
    return reduce(operator.add, (Coalesce(size, 0) for size in sizes))


def parse_limit(text: str | None) -> int:
    """Read the number of rows that a client asks for; raises Invalid outside 1 to 200."""
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise Invalid.of("limit", f"Must be a whole number from 1 to {MAX_LIMIT}.")


def write_cursor(keyset: Keyset, row: models.Model) -> str:
    """Name a row's place in the list: opaque to clients, but no secret and no right to anything.

    It needs no signature: a made-up cursor only names another place in a list that its maker may
    read from the start anyway.
    """
    values = [_field(type(row), name).value_to_string(row) for name in keyset.fields]
    packed = json.dumps([keyset.tag, *values], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(packed.encode()).rstrip(b"=").decode()


def read_cursor(model: type[models.Model], keyset: Keyset, cursor: str) -> list[Any]:
    """Read the values back, each by its own field; raises BadRequest if anything is off."""
    fields = [_field(model, name) for name in keyset.fields]
    try:
        tag, *texts = _unpack(cursor)
        if tag != keyset.tag or len(texts) != len(keyset.fields):
            raise ValueError
        return [_read_value(field, text) for field, text in zip(fields, texts, strict=True)]
    except (ValueError, RecursionError, ValidationError) as error:
        raise BadRequest("The cursor is not one of this list.", parameter="cursor") from error


def _unpack(cursor: str) -> list[Any]:
    if not cursor.isascii() or not 0 < len(cursor) <= _CURSOR_MAX:
        raise ValueError
    try:
        packed = base64.b64decode(
            cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        ).decode()
    except binascii.Error as error:
        raise ValueError from error
    parts = json.loads(packed)
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts) or not parts:
        raise ValueError
    return parts


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def _read_value(field: Any, text: str) -> Any:
    """Accept only what the column can hold, or the database would answer with a 500."""
    text.encode()  # a lone surrogate is no text
    if "\x00" in text:
        raise ValueError
    value = field.to_python(text)
    if value is None or (isinstance(value, datetime) and is_naive(value)):
        raise ValueError
    field.run_validators(value)
    return value


def _beyond(
    model: type[models.Model], keyset: Keyset, values: list[Any], *, backwards: bool
) -> Func:
    fields = [_field(model, name) for name in keyset.fields]
    here = _row(*(F(name) for name in keyset.fields))
    there = _row(*(Value(v, output_field=f) for v, f in zip(values, fields, strict=True)))
    sign = "<" if keyset.descending is not backwards else ">"
    return Func(
        here,
        there,
        template="%(expressions)s",
        arg_joiner=f" {sign} ",
        output_field=models.BooleanField(),
    )


def _row(*expressions: Any) -> Func:
    return Func(*expressions, template="(%(expressions)s)", output_field=models.TextField())
