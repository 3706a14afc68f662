"""Tasks carry their org or refuse: in this process, and through a real broker and worker."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import redis
from celery import shared_task

from apps.common import jobs
from apps.tenants import keys
from apps.tenants.errors import NoTenant
from apps.tenants.services import orgs
from tests.tenants import leaky

SHORT, LONG = 1_000, 10_000


@shared_task(name="tests.which_org")
def which_org(seen: list[Any] | None = None, **_: Any) -> None:
    SEEN.append(keys.current())


SEEN: list[keys.Keys] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


def test_a_task_holds_the_keys_of_the_org_that_sent_it(throwaway_org: Any) -> None:
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        jobs.enqueue("tests.which_org")
    assert [keys.Keys(org.schema, org.id)] == SEEN
    assert keys.current() == keys.NONE


def test_a_task_without_an_org_refuses(committed: None) -> None:
    with pytest.raises(NoTenant):
        jobs.enqueue("tests.which_org")
    assert SEEN == []


def test_a_task_of_a_suspended_org_refuses(throwaway_org: Any) -> None:
    org = throwaway_org()
    orgs.suspend_org(org_id=org.id)
    with keys.holding(org.schema, org.id), pytest.raises(NoTenant):
        jobs.enqueue("tests.which_org")
    assert SEEN == []


def test_an_unknown_job_is_refused_at_once(org: Any) -> None:
    with pytest.raises(KeyError):
        jobs.enqueue("nobody.knows_this")


def test_a_task_sees_nothing_before_the_commit(throwaway_org: Any) -> None:
    from django.db import transaction

    org = throwaway_org()
    with keys.holding(org.schema, org.id), transaction.atomic():
        jobs.enqueue("tests.which_org")
        assert SEEN == []
    assert len(SEEN) == 1


def worker(queue: str, *, resets: bool) -> subprocess.Popen[bytes]:
    """A real worker with two processes, on this suite's broker and database."""
    from django.db import connections

    found = connections["default"].settings_dict
    url = (
        f"postgresql://{found['USER']}:{found['PASSWORD']}@{found['HOST']}:{found['PORT']}"
        f"/{found['NAME']}"
    )
    environment = os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "LEAKY_RESETS": "yes" if resets else "no",
        "MANDATE_PROCESS": "worker",
    }
    environment.pop("DATABASE_OWNER_URL", None)
    argv = [sys.executable, "-m", "celery", "-A", "tests.tenants.leaky", "worker"]
    argv += ["-Q", queue, "-c", "2", "-l", "warning", "--without-gossip", "--without-mingle"]
    return subprocess.Popen(argv, env=environment, start_new_session=True)


def interleave(count: int, orgs_: list[Any], *, seed: int, resets: bool = True) -> list[str]:
    """Send that many tasks in random order of orgs to a real worker; what leaked, if anything."""
    queue, dice = f"leak-{seed}-{resets}", random.Random(seed)
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    store.delete(queue, f"{queue}:done", f"{queue}:leaks")
    process = worker(queue, resets=resets)
    try:
        for number in range(count):
            org = dice.choice(orgs_)
            leaky.app.send_task(
                "leaky.look",
                kwargs={"queue": queue, "org_id": str(org.id), "number": number},
                headers={"mandate_org": str(org.id)},
                queue=queue,
            )
        deadline = time.monotonic() + 300
        while int(store.get(f"{queue}:done") or 0) < count and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        assert int(store.get(f"{queue}:done") or 0) == count
        return [leak.decode() for leak in store.lrange(f"{queue}:leaks", 0, -1)]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def run_interleaved(count: int, throwaway_org: Any, capsys: Any) -> None:
    found = [throwaway_org() for _ in range(4)]
    seed = 20261123
    leaks = interleave(count, found, seed=seed)
    with capsys.disabled():
        print(f"\ntasks: {count} over {len(found)} orgs, seed {seed}, {len(leaks)} leaks")
    assert leaks == []


def test_interleaved_tasks_leak_nothing(throwaway_org: Any, capsys: Any) -> None:
    run_interleaved(SHORT, throwaway_org, capsys)


@pytest.mark.proof
def test_ten_thousand_interleaved_tasks_leak_nothing(throwaway_org: Any, capsys: Any) -> None:
    run_interleaved(LONG, throwaway_org, capsys)


def test_with_one_reset_skipped_tasks_leak(throwaway_org: Any) -> None:
    """The mutation control: a task that leaves its keys behind is seen by the next one."""
    assert interleave(200, [throwaway_org() for _ in range(2)], seed=7, resets=False) != []
