"""What a list of runs asks of the database: as many queries for many rows as for few, and an
index for every filter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.pagination import NEWEST_FIRST
from apps.runs.filtering import read_filter
from apps.runs.models import Run
from tests.orgs.conftest import owner_of
from tests.runs.factories import CALLER, admit, child_of, grant, make_agent
from tests.tenants.browsing import Browser

# filter → the index that answers it
INDEXES = {
    "": "run_newest",
    "status=failed": "run_of_status",
    "agent=echo": "run_of_agent",
    f"caller={CALLER.id}": "run_of_caller",
    "session_id=one": "run_of_session",
    "range=24h": "run_newest",
    "from=2026-01-01&to=2026-01-31": "run_newest",
    "project=default": "run_of_project",
    "level=all": "run_newest",
    "q=words": "run_newest",
}


@pytest.fixture
def counted(browser: Browser, scripts: Any) -> Callable[[str], int]:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(path).status_code == 200
        return len(seen)

    return queries


def test_a_full_list_costs_as_many_queries_as_half_of_one(
    browser: Browser, counted: Any, org: Any
) -> None:
    parent, echo = make_agent("concierge"), make_agent("echo")
    grant(parent, echo)
    browser.get("/runs/")

    def fill(upto: int) -> None:
        for _ in range(upto - Run.objects.filter(parent_id__isnull=True).count()):
            child_of(admit(parent).hold, echo)

    fill(25)
    half = counted("/runs/"), counted("/runs/?agent=concierge&status=running&range=7d")
    fill(50)
    full = counted("/runs/"), counted("/runs/?agent=concierge&status=running&range=7d")

    assert half == full
    assert full[0] <= 18 and full[1] <= 20
    rows = browser.get("/runs/").context["runs"]
    assert len(rows) == 50 and {tuple(row["called"]) for row in rows} == {("echo",)}


@pytest.mark.parametrize(("query", "index"), INDEXES.items())
def test_each_filter_has_its_index(
    org: Any, scripts: Any, as_if_many: None, query: str, index: str
) -> None:
    make_agent("echo")
    request: Any = RequestFactory().get(f"/runs/?{query}")
    request.principal = owner_of(org)
    rows = read_filter(request, now=timezone.now()).rows.order_by(*NEWEST_FIRST.order)[:51]
    with connection.cursor() as cursor:
        # What the planner would do with many rows: none of a few is worth an index. That nothing
        # is joined or sorted is the queryset's own doing.
        for off in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            cursor.execute(f"set local {off} = off")
        plan = json.loads(rows.explain(format="json"))[0]["Plan"]
    assert road(plan) == ["Limit", f"Index Scan {index}"], plan


def road(plan: dict[str, Any]) -> list[str]:
    """How the rows of the list themselves are found, from the outside to the inside."""
    here = " ".join(filter(None, (plan["Node Type"], plan.get("Index Name"))))
    inner = [p for p in plan.get("Plans", ()) if p.get("Parent Relationship") != "SubPlan"]
    return [here] + [name for part in inner for name in road(part)]
