"""A second try for a transaction that Postgres broke because two waited for each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import structlog
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

P = ParamSpec("P")
R = TypeVar("R")
log = structlog.get_logger(__name__)


def again_after_deadlock(work: Callable[P, R]) -> Callable[P, R]:
    """Run `work` once more if it was the one that Postgres broke.

    It must be one transaction and nothing beside, so that nothing of the first try is left. Within
    another transaction its savepoint gives back the locks that it took.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
        log.warning("database.deadlock", work=work.__qualname__)
        return work(*args, **kwargs)

    return run
