"""The log as a file: whole for the offline verifier, its events as CSV, its heads as signed text.

The lines stand in the order of the tree, so that whoever reads them can compute the root at every
checkpoint. A file is written while it is read; what comes meanwhile isn't in it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet

from apps.common.spreadsheets import csv_lines
from apps.tenants import keys
from apps.tenants.backend.apart import release_connections
from apps.trust.entries import entry_of, newest_checkpoint
from apps.trust.models import AuditEvent, Checkpoint, Leaf
from apps.trust.records import Told, tell

Row = TypeVar("Row")

BATCH: Final = 500
COLUMNS: Final = (
    *("seq", "at", "actor_type", "actor_id", "actor", "action", "subject_type", "subject_id"),
    *("detail", "hash", "erased"),
)


def write_jsonl(origin: str) -> AsyncIterator[bytes]:
    """The whole log of the present org, one entry or other record a line."""
    return _stream(lambda: json_lines(origin))


def write_csv(events: QuerySet[AuditEvent]) -> AsyncIterator[bytes]:
    """These audit events, newest first."""
    return _stream(lambda: csv_events(events))


def write_checkpoints() -> AsyncIterator[bytes]:
    """All signed notes, oldest first, as the file sink keeps them."""
    return _stream(note_lines)


async def _stream(lines: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
    """Draw on the lines a batch at a time, with the keys that are held now."""
    held, source = keys.current(), lines()
    take = sync_to_async(lambda: _take(source, held))
    while batch := await take():
        yield batch


def _take(source: Iterator[bytes], held: keys.Keys) -> bytes:
    with keys.holding(held.schema, held.org_id):
        try:
            return b"".join(islice(source, BATCH))
        finally:
            release_connections()


def json_lines(origin: str) -> Iterator[bytes]:
    """First what was taken in by checkpoint after checkpoint, then the events after the last.

    The last is fixed at the start: of what it took in nothing can come late.
    """
    yield _line({"origin": origin})
    newest = newest_checkpoint()
    sealed = _Reader[Checkpoint](_checkpoints_after).until(lambda c: c.number <= newest.number)
    events, leaves = _Reader[AuditEvent](_events_after), _Reader[Told](_told_after)
    for checkpoint in sealed:
        yield from map(_event_line, events.until(partial(_is_event_of, checkpoint)))
        yield from map(_leaf_line, leaves.until(partial(_is_leaf_of, checkpoint)))
    yield from map(_event_line, events)


def note_lines() -> Iterator[bytes]:
    return (f"{head.note}\n".encode() for head in _Reader[Checkpoint](_checkpoints_after))


def csv_events(events: QuerySet[AuditEvent]) -> Iterator[bytes]:
    def older(last: AuditEvent | None) -> QuerySet[AuditEvent]:
        return events.filter(seq__lt=last.seq) if last else events

    yield csv_lines([COLUMNS])
    for event in _Reader[AuditEvent](older):
        yield csv_lines([_cells(event)])


def _cells(event: AuditEvent) -> list[Any]:
    entry = entry_of(event)
    actor, subject = entry["actor"] or {}, entry["subject"] or {}
    detail = None if entry["detail"] is None else json.dumps(entry["detail"], ensure_ascii=False)
    return [
        *(entry["seq"], entry["at"], actor.get("type"), actor.get("id"), actor.get("label")),
        *(entry["action"], subject.get("type"), subject.get("id")),
        *(detail, entry["hash"], "yes" if event.is_erased else None),
    ]


def _is_event_of(checkpoint: Checkpoint, event: AuditEvent) -> bool:
    return event.seq <= checkpoint.seq_to


def _is_leaf_of(checkpoint: Checkpoint, told: Told) -> bool:
    return told.leaf.xid < checkpoint.xid_to


def _event_line(event: AuditEvent) -> bytes:
    return _line(entry_of(event))


def _leaf_line(told: Told) -> bytes:
    return _line({"leaf": told.line, "text": told.text})


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class _Reader(Generic[Row]):
    """Rows one after the other, found by batches: `find(last)` gives what comes after a row, of
    which no more than BATCH are taken.
    """

    def __init__(self, find: Callable[[Row | None], Any]) -> None:
        self._find = find
        self._rows: list[Row] = []
        self._last: Row | None = None
        self._is_over = False

    def __iter__(self) -> Iterator[Row]:
        return self.until(lambda _: True)

    def until(self, fits: Callable[[Row], bool]) -> Iterator[Row]:
        """The next rows while they fit; the first that doesn't stays."""
        while self._fill() and fits(self._rows[-1]):
            self._last = self._rows.pop()
            yield self._last

    def _fill(self) -> bool:
        if not self._rows and not self._is_over:
            self._rows = list(self._find(self._last)[:BATCH])[::-1]
            self._is_over = not self._rows
        return bool(self._rows)


def _events_after(last: AuditEvent | None) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(seq__gt=last.seq if last else 0).order_by("seq")


def _checkpoints_after(last: Checkpoint | None) -> QuerySet[Checkpoint]:
    return Checkpoint.objects.filter(number__gt=last.number if last else 0).order_by("number")


def _told_after(last: Told | None) -> list[Told]:
    rows = Leaf.objects.order_by("xid", "id")
    if last is not None:
        at = last.leaf
        rows = rows.filter(Q(xid__gt=at.xid) | Q(id__gt=at.id), xid__gte=at.xid)
    return tell(list(rows[:BATCH]))
