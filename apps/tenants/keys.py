"""The two keys of every row: which schema, and which org's rows in it.

They are set apart from each other: the host (or, on the apex, the API key) names the schema,
membership (or the key's own org) unlocks the rows. With either one wrong Postgres shows nothing.
They live in one ContextVar, so they follow a request through `await`, `sync_to_async` and a
stream's generator, and a thread that nobody gave them to starts with none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the present code may see; the database backend turns it into a session's settings."""

    schema: str = PUBLIC
    org_id: UUID | None = None


NONE = Keys()
_keys: ContextVar[Keys] = ContextVar("mandate_keys", default=NONE)


def current() -> Keys:
    return _keys.get()


def use_schema(schema: str) -> None:
    """Turn the first key. The second one is put down: it was turned for another door."""
    _keys.set(Keys(schema=schema))


def unlock(org_id: UUID) -> None:
    """Turn the second key. Call it only with an org that the principal was proved to belong to."""
    _keys.set(Keys(_keys.get().schema, org_id))


def reset() -> None:
    """Put both keys down."""
    _keys.set(NONE)


@contextmanager
def holding(schema: str = PUBLIC, org_id: UUID | None = None) -> Iterator[None]:
    """Hold exactly these keys for a while; afterwards those from before, whatever happened."""
    token = _keys.set(Keys(schema, org_id))
    try:
        yield
    finally:
        _keys.reset(token)
