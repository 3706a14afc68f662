"""A log with something in it, and what an auditor holds of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from apps.common.actors import Actor, ActorType
from apps.common.ids import uuid7
from apps.tenants import keys
from apps.tenants.selectors import get_org
from apps.trust import selectors
from apps.trust.export import json_lines, note_lines
from apps.trust.note import origin_of
from apps.trust.services import record_event
from apps.trust.services.sealer import seal
from apps.trust.standalone.verify_audit import verify

OLDEST_HERE = """
select coalesce(min(backend_xid::text::bigint),
                pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""


def oldest_running_here() -> int:
    """`sealer.oldest_running`, of this database only: other workers of the suite have their own in
    the same cluster, and their open transactions would keep a seal waiting.
    """
    with connection.cursor() as cursor:
        cursor.execute(OLDEST_HERE)
        return int(cursor.fetchone()[0])


AT = datetime(2026, 3, 1, tzinfo=UTC)
ANA = Actor(ActorType.USER, "mem_1", "Ana Ünal")


@dataclass(frozen=True)
class Papers:
    """An export, checkpoints that left the database, and the keys."""

    export: str
    notes: str
    jwks: dict[str, Any]

    def findings(self) -> list[str]:
        return verify(io.StringIO(self.export, newline="\n"), self.notes, self.jwks)[0]

    def summary(self) -> str:
        return verify(io.StringIO(self.export, newline="\n"), self.notes, self.jwks)[1]


def record(n: int = 0, **more: Any) -> Any:
    facts: dict[str, Any] = {
        "actor": ANA,
        "action": "orgs.project.renamed",
        "subject_type": "project",
        "subject_id": f"prj_{n}",
        "old": {"name": f"a{n}", "tags": ["x", 1, None, True]},
        "new": {"name": f"„b{n}“\u2028"},
        "at": AT + timedelta(minutes=n),
    }
    with transaction.atomic():
        return record_event(**(facts | more))


def leave(kind: str = "run", subject_id: Any = None, digest: bytes = bytes(range(32))) -> Any:
    subject_id = subject_id or uuid7()
    with connection.cursor() as cursor:
        cursor.execute("select leave(%s, %s, %s)", [kind, subject_id, digest])
    return subject_id


def fill(rounds: int = 6, between: Callable[[int], object] = lambda n: None) -> None:
    """Some events a round, each round sealed."""
    for n in range(rounds):
        record(2 * n)
        record(2 * n + 1)
        between(n)
        assert seal(at=AT)


def export() -> str:
    org = get_org(keys.current().org_id)  # type: ignore[arg-type]
    return b"".join(json_lines(origin_of(org.slug, org.id))).decode()


def notes() -> str:
    return b"".join(note_lines()).decode()


def papers() -> Papers:
    jwks: dict[str, Any] = json.loads(json.dumps(selectors.jwks()))
    return Papers(export(), notes(), jwks)
