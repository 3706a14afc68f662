"""A worker's own tasks for test_tasks: each looks for what the one before may have left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")

import django
import redis
from celery import Celery, signals

app = Celery("leaky", task_cls="apps.tenants.tasking:OrgTask", set_as_current=False)
app.conf.update(
    broker_url=os.environ.get("REDIS_URL", ""),
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)
BEFORE: list[Any] = [None]


def become_worker(*, resets: bool) -> None:
    """Set up Django in a worker process and watch what each task finds before it runs."""
    django.setup()
    app.set_current()
    app.set_default()
    from apps.tenants import keys

    @signals.task_prerun.connect(weak=False)
    def look_before(**_: Any) -> None:
        BEFORE[0] = keys.current()

    if not resets:
        keys.holding = skip_the_reset  # type: ignore[assignment]


@contextmanager
def skip_the_reset(schema: str = "public", org_id: Any = None) -> Iterator[None]:
    """The mutation: keys are taken up and never put down."""
    from apps.tenants import keys

    keys._keys.set(keys.Keys(schema, org_id))
    yield


if os.environ.get("MANDATE_PROCESS") == "worker":
    become_worker(resets=os.environ["LEAKY_RESETS"] == "yes")


@cache
def store() -> Any:
    return redis.Redis.from_url(os.environ["REDIS_URL"])


@app.task(name="leaky.look")
def look(*, queue: str, org_id: str, number: int) -> None:
    """Note a leak if the process still held keys, or if Postgres' session isn't this org's."""
    from django.db import connection

    from apps.tenants import keys

    with connection.cursor() as cursor:
        cursor.execute("select current_setting('app.org_id', true), current_schema()")
        seen, schema = cursor.fetchone()
        cursor.execute(
            "select count(*), count(*) filter (where org_id <> %s) from signing_keys", [org_id]
        )
        own, foreign = cursor.fetchone()
    if seen != org_id or foreign or own != 1 or BEFORE[0] != keys.NONE:
        store().rpush(f"{queue}:leaks", f"{number}: {org_id} saw {seen} {schema} after {BEFORE[0]}")
    store().incr(f"{queue}:done")
