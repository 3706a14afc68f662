"""People and clients of the orgs' tests, and a kind of subject whose app notes what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from apps.approvals import registry
from tests.approvals.factories import KIND, SUBJECT
from tests.orgs.conftest import *  # noqa: F403

OUTLIVE = """
set local session_replication_role = replica;
update approvals
set created_at = created_at - interval '2 days', expires_at = now() - interval '1 s'
where id = '{id}';
set local session_replication_role = origin
"""


class Told:
    """Notes each decision it is told of; fails while `error` is set."""

    def __init__(self) -> None:
        self.decisions: list[tuple[Any, str]] = []
        self.error: Exception | None = None

    def __call__(self, approval: Any) -> None:
        if self.error:
            raise self.error
        self.decisions.append((approval.subject_id, str(approval.status)))


@pytest.fixture(autouse=True)
def told() -> Iterator[Told]:
    heard = Told()
    registry.register(KIND, replace(SUBJECT, on_decided=heard))
    yield heard
    registry.register(KIND, SUBJECT)


@pytest.fixture
def admin(somebody: Any) -> Any:
    return somebody("admin")


@pytest.fixture
def outlive(as_superuser: Any) -> Callable[[Any], None]:
    """Moves a request's end into the past, which only the database's superuser can do: what
    decides is Postgres' clock, and no test waits for it.
    """
    return lambda approval: as_superuser(OUTLIVE.format(id=approval.id)) and None
