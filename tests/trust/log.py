"""A log with something in it, and what an auditor holds of it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.common.actors import Actor, ActorType
from apps.common.ids import uuid7
from apps.runs.models import Run
from apps.runs.spine import Ending, close_run
from apps.runs.states import RunStatus
from apps.tenants import keys
from apps.tenants.selectors import get_org
from apps.trust import records, selectors
from apps.trust.export import json_lines, note_lines
from apps.trust.models import Leaf
from apps.trust.note import origin_of
from apps.trust.services import record_event
from apps.trust.services.sealer import seal
from apps.trust.standalone.verify_audit import verify
from tests.policies.factories import decide
from tests.runs.factories import admit

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
        return self.check()[0]

    def summary(self) -> str:
        return self.check()[1]

    def check(self, **changed: bytes) -> tuple[list[str], str]:
        """What the verifier says of these, or of what somebody has made of one of them."""
        files = {"export": self.export.encode(), "notes": self.notes.encode(), **changed}
        return verify(io.BytesIO(files["export"]), files["notes"], self.jwks)


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


def leave(subject_id: Any = None) -> Any:
    """A record that is nowhere but in its leaf, and says its own id."""
    subject_id = subject_id or uuid7()
    digest = hashlib.sha256(subject_id.hex.encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("select leave('thing', %s, %s)", [subject_id, digest])
    return subject_id


def _tell(leaves: Sequence[UUID]) -> dict[UUID, str]:
    return {leaf.id: leaf.subject_id.hex for leaf in Leaf.objects.filter(id__in=leaves)}


records.register("thing", records.Kind("thg", _tell, lambda limit: [], "audit.view"))


def work(agent: Any, n: int = 0) -> tuple[Any, Any]:
    """A run that is over, and what was decided of it."""
    hold = admit(agent, title=f"Run {n}", session_id=f"session-{n}").hold
    ending = Ending(RunStatus.SUCCEEDED, output={"text": f"hello {n}"}, error={"code": "none"})
    close_run(hold, ending, at=AT + timedelta(minutes=n))
    facts = {"reasons": [f"Because {n}."], "policies": [{"name": "Guard", "version": n}]}
    wishes = {"obligations": {"mask": ["card"]}, "shadows": [{"name": "Draft"}]}
    decision = decide(Run.objects.get(id=hold.run_id), ordinal=n, document=None, **facts, **wishes)
    return hold.run_id, decision.id


def edge_beyond_here() -> int:
    """As if this very transaction were over, so that a test that is rolled back seals its own."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_current_xact_id()::text::bigint + 1")
        return int(cursor.fetchone()[0])


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
