"""Lists of runs as CSV (RFC 4180), written while they are read: one page is held at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db.models import QuerySet

from apps.common.ids import public_id
from apps.common.pagination import Keyset, Page, paginate
from apps.common.spreadsheets import csv_lines
from apps.orgs.principals import Principal
from apps.runs.errors import RUN
from apps.runs.models import Run
from apps.runs.presenting import milliseconds
from apps.runs.reading import title_for
from apps.tenants import keys
from apps.tenants.backend.apart import release_connections

EXPORT_MAX: Final = 10_000
"""The runs that one file may have."""
BATCH: Final = 500
COLUMNS: Final = (
    *("id", "title", "agent", "tool", "project", "status", "reason", "error"),
    *("caller_type", "caller_id", "caller", "mode", "environment", "session_id", "parent", "root"),
    *("cost_micros", "input_tokens", "output_tokens"),
    *("created_at", "started_at", "finished_at", "duration_ms"),
)
CUT: Final = f"This file ends here, with {EXPORT_MAX} runs. Narrow the filter for the others."


def write_csv(
    rows: QuerySet[Run], *, by: Principal, keyset: Keyset, most: int | None = None
) -> AsyncIterator[bytes]:
    """The runs that `list_run_lines` found, in order; if there are more than `most` (EXPORT_MAX), a
    last line says so.

    Pages are found by keyset, so that runs that come meanwhile neither shift nor repeat a line, and
    read with the keys that are held now, whoever draws on the stream.
    """
    read = partial(_read, rows, keyset, keys.current())
    return _stream(read, by, EXPORT_MAX if most is None else most)


async def _stream(
    read: Callable[[str | None, int], Page[Run]], by: Principal, most: int
) -> AsyncIterator[bytes]:
    yield csv_lines([COLUMNS])
    after: str | None = None
    while most > 0:
        page = await sync_to_async(read)(after, min(BATCH, most))
        yield csv_lines(_cells(run, by) for run in page.items)
        most, after = most - len(page.items), page.next
        if after is None:
            return
    yield csv_lines([[CUT]])


def _read(
    rows: QuerySet[Run], keyset: Keyset, held: keys.Keys, after: str | None, limit: int
) -> Page[Run]:
    with keys.holding(held.schema, held.org_id):
        try:
            return paginate(rows, keyset=keyset, limit=limit, after=after)
        finally:
            release_connections()


def _cells(run: Run, by: Principal) -> list[Any]:
    read: Any = run
    usage = run.usage or {}
    return [
        public_id(RUN, run.id),
        *(title_for(by, run), read.agent_slug, run.tool, read.project_slug),
        *(run.status, run.reason, read.error_code),
        *(run.caller_type, run.caller_id, run.caller_label),
        *(run.mode, run.environment, run.session_id),
        public_id(RUN, run.parent_id) if run.parent_id else None,
        public_id(RUN, run.root_id),
        *(run.cost_micros, usage.get("input_tokens"), usage.get("output_tokens")),
        *(_moment(at) for at in (run.created_at, run.started_at, run.finished_at)),
        milliseconds(run.started_at, run.finished_at),
    ]


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
