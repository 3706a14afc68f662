"""The files of the audit log, as the API and the page hand them out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse

from apps.orgs.permissions import DATA_READ
from apps.tenants import keys
from apps.tenants.selectors import get_org
from apps.trust import export, selectors
from apps.trust.note import origin_of
from apps.trust.standalone import VERIFIER

FORMATS: Final = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "checkpoints": "text/plain",
}
TAKING: Final = ("audit.export", "data.export")
"""What every file of the log takes."""


def codes_for(kind: str) -> tuple[str, ...]:
    """The permissions that a file takes: what entries changed is data, their hashes are not."""
    return (*TAKING, DATA_READ) if kind in ("jsonl", "csv") else TAKING


def answer_export(kind: str, **asked: Any) -> StreamingHttpResponse:
    """The file of that kind, written while it is read."""
    org = get_org(UUID(str(keys.current().org_id)))
    bodies: dict[str, AsyncIterator[bytes]] = {
        "jsonl": export.write_jsonl(origin_of(org.slug, org.id)),
        "csv": export.write_csv(selectors.list_events(**asked)),
        "checkpoints": export.write_checkpoints(),
    }
    end = "txt" if kind == "checkpoints" else kind
    name = f"{'checkpoints' if kind == 'checkpoints' else 'audit'}-{org.slug}.{end}"
    return StreamingHttpResponse(
        bodies[kind], content_type=f"{FORMATS[kind]}; charset=utf-8", headers=_as_file(name)
    )


def answer_verifier() -> HttpResponse:
    return HttpResponse(
        VERIFIER.read_bytes(),
        content_type="text/x-python; charset=utf-8",
        headers=_as_file(VERIFIER.name),
    )


def _as_file(name: str) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
