"""Work after commit: by name, carrying the org, never carrying a secret.

The row is the job: what a lost message leaves undone, a sweeper finds. So enqueueing is only a
wake-up, and a broker that is down fails no request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from django.db import transaction
from kombu.exceptions import OperationalError

from config.celery import app

log = structlog.get_logger(__name__)

_loading = threading.Lock()
_header_sources: list[Callable[[], dict[str, str]]] = []


def carry(source: Callable[[], dict[str, str]]) -> None:
    """Have every message carry the headers that `source` gives at the moment of enqueueing."""
    _header_sources.append(source)


def enqueue(name: str, **kwargs: Any) -> None:
    """Run the task called `name` ("app.task") once the present transaction has committed.

    The arguments are ids and plain values: they stand in the broker in clear. Raises KeyError for
    a name that no app has, at once and not in a worker hours later.
    """
    headers = {key: value for source in _header_sources for key, value in source().items()}
    task = _task(name)
    transaction.on_commit(lambda: _send(task, kwargs, headers))


def _task(name: str) -> Any:
    """A task by its name; a web process knows none until the modules are imported."""
    if name not in app.tasks:
        with _loading:  # a second thread must not look before the first has imported all of them
            app.loader.import_default_modules()
    return app.tasks[name]


def _send(task: Any, kwargs: dict[str, Any], headers: dict[str, str]) -> None:
    try:
        task.apply_async(kwargs=kwargs, headers=headers)
    except OperationalError as error:
        log.warning("jobs.broker_unavailable", task=task.name, error=type(error).__name__)
