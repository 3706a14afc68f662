"""One way to put a change of an org's own rows on record."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from apps.common.actors import Actor
from apps.common.ids import public_id
from apps.trust.services import record_event


class HasId(Protocol):
    """A row, also one that has just been deleted."""

    id: UUID


class Record(Protocol):
    """Puts `verb`, a past fact, on record for a row; called last in the transaction."""

    def __call__(
        self,
        row: HasId,
        verb: str,
        actor: Actor,
        at: datetime,
        *,
        old: dict[str, Any] | None = None,
        new: dict[str, Any] | None = None,
    ) -> None: ...


def recorder(noun: str, prefix: str, *, app: str = "orgs") -> Record:
    """The `Record` of one kind of rows: `<app>.<noun>.<verb>`, subjects named `<prefix>_…`."""

    def record(
        row: HasId,
        verb: str,
        actor: Actor,
        at: datetime,
        *,
        old: dict[str, Any] | None = None,
        new: dict[str, Any] | None = None,
    ) -> None:
        record_event(
            actor=actor,
            action=f"{app}.{noun}.{verb}",
            subject_type=noun,
            subject_id=public_id(prefix, row.id),
            old=old,
            new=new,
            at=at,
        )

    return record
