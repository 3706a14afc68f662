"""What must be on disk before anything follows, and what may wait for a run's end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.runs import spine
from apps.runs.services.invoke import Ask, invoke
from tests.orgs.conftest import owner_of
from tests.runs.factories import admit, make_agent

pytestmark = pytest.mark.usefixtures("org")


@pytest.fixture(autouse=True)
def durable(org: Any) -> None:
    """As on a server that keeps what it has committed; the suite's own doesn't."""
    with connection.cursor() as cursor:
        cursor.execute("set local synchronous_commit = on")


def is_flushed() -> bool:
    """Whether the commit of the present transaction waits for the disk."""
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('synchronous_commit')")
        return bool(cursor.fetchone()[0] == "on")


def test_only_what_is_admitted_may_wait_for_its_end_and_only_if_it_says_so() -> None:
    echo, stopped = make_agent("echo"), make_agent("stopped", status="suspended")
    first = admit(echo, key="k", is_flushed_by_its_end=False)
    assert (first.outcome, is_flushed()) == ("admitted", True)
    for refused in (
        admit(stopped, is_flushed_by_its_end=True),
        admit(echo, key="k", is_flushed_by_its_end=True),
        admit(echo, refusal="policy", is_flushed_by_its_end=True),
    ):
        assert (refused.outcome == "admitted", is_flushed()) == (False, True)

    assert admit(echo, is_flushed_by_its_end=True).outcome == "admitted"
    assert not is_flushed()


@pytest.mark.parametrize(
    ("mode", "config", "may_wait"),
    [("sync", {}, True), ("sync", {"waits": True}, False), ("async", {}, False)],
)
def test_who_may_do_something_outside_is_on_disk_before_it_begins(
    org: Any,
    scripts: Any,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    config: dict[str, Any],
    may_wait: bool,
) -> None:
    orders: list[Any] = []
    real = spine.admit
    monkeypatch.setattr(
        spine, "admit", lambda order, *, at: orders.append(order) or real(order, at=at)
    )
    scripts["worker"] = lambda invocation, ctx: {}
    make_agent("worker", config=config)

    invoke(Ask(agent="worker", input={}, mode=mode), caller=owner_of(org), at=timezone.now())
    assert [order.is_flushed_by_its_end for order in orders] == [may_wait]
