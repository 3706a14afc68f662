"""What every page of an org asks of the database: a number written down, however much there is.

The URLconf says which pages there are (test_views_matrix.py); a page without a number fails, and
so does one that asks more for each row of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.models import Agent, Capability, Grant
from apps.agents.services.changing import freeze
from apps.common.ids import parse_id
from apps.notify.models import Channel, Notice
from apps.orgs.models import ApiKey
from apps.runs.models import SavedView
from apps.tenants import keys, middleware
from tests.orgs.conftest import AT, join, owner_of
from tests.orgs.test_views_matrix import DOCUMENTS, url_of
from tests.runs.factories import admit, capability, make_agent
from tests.tenants.browsing import Browser, as_member
from tests.workspace.filling import fill

FEW, MANY = 3, 30
ASKED = {"workspace:search": "?q=x"}
"""What a page needs to be asked to have rows."""
QUERIES = {
    "workspace:overview": 17,
    "workspace:search": 12,
    "confirm": 7,
    "agents:agents": 10,
    "agents:new": 6,
    "agents:new_details": 8,
    "agents:new_check": 8,
    "agents:agent": 12,
    "agents:tools": 9,
    "agents:tool": 9,
    "agents:grants": 12,
    "agents:grant": 10,
    "agents:keys": 10,
    "agents:manifests": 10,
    "agents:manifest": 11,
    "agents:settings": 11,
    "agents:models": 8,
    "agents:provider": 7,
    "runs:runs": 11,
    "runs:views": 7,
    "runs:view": 7,
    "runs:run": 14,
    "runs:try": 9,
    "runs:of_agent": 11,
    "policies:policies": 11,
    "policies:new": 6,
    "policies:settings": 8,
    "policies:decisions": 10,
    "policies:decision": 9,
    "policies:policy": 16,
    "policies:edit": 9,
    "policies:diff": 11,
    "policies:backtest": 9,
    "approvals:approvals": 8,
    "approvals:approval": 10,
    "approvals:rules": 10,
    "approvals:rule": 8,
    "orgs:projects": 7,
    "orgs:project": 7,
    "orgs:settings_general": 8,
    "orgs:members": 12,
    "orgs:member_groups": 8,
    "orgs:roles": 7,
    "orgs:role_new": 7,
    "orgs:role": 9,
    "orgs:domains": 7,
    "orgs:domain": 7,
    "orgs:keys": 7,
    "orgs:settings_danger": 9,
    "orgs:signing_keys": 7,
    "orgs:audit": 11,
    "orgs:audit_entry": 11,
    "orgs:audit_check": 27,
    "notify:inbox": 7,
    "notify:preferences": 8,
    "notify:channels": 7,
    "notify:org_channels": 7,
    "notify:channel": 8,
}
LISTS = {
    *("approvals:approvals", "approvals:rules", "policies:policies", "policies:decisions"),
    *("agents:agents", "agents:tools", "agents:grants", "agents:keys", "agents:manifests"),
    *("agents:models", "runs:runs", "runs:of_agent", "runs:views", "workspace:search"),
    *("orgs:projects", "orgs:members", "orgs:keys", "orgs:domains"),
    *("notify:inbox", "notify:channels", "notify:org_channels"),
}
"""Pages that show a row for each of something."""


def test_every_page_has_its_number() -> None:
    assert set(QUERIES) == set(DOCUMENTS)


def test_a_page_costs_the_same_with_three_rows_and_with_thirty(
    acme: Any, browser: Browser, refs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "HOSTS_SECONDS", inf)  # looking may take longer than that
    grow(acme, refs, FEW)
    look(browser, refs)  # what is remembered of the host and the person is remembered from here on
    few = look(browser, refs)
    grow(acme, refs, MANY - FEW)
    many = look(browser, refs)

    assert {name: page.queries for name, page in few.items()} == QUERIES
    assert {name: page.queries for name, page in many.items()} == QUERIES
    assert {name for name in LISTS if many[name].rows < few[name].rows + 10} == set()


def test_a_run_says_who_can_help_without_asking_for_it_each_time(
    acme: Any, refs: dict[str, Any]
) -> None:
    """The same sentence stands in the place of all that a role may not read."""
    reader, url = as_member(acme, join(acme, "reader")), url_of("runs:run", refs)
    reader.get(url)
    with CaptureQueriesContext(connection) as seen:
        html = reader.get(url).content.decode()

    asks = "Ask somebody who is Owner or Admin "
    assert (html.count(asks + "for a role with it"), html.count(asks + "to change it")) == (3, 2)
    assert sum('FROM "roles"' in query["sql"] for query in seen) == 2  # to read, and to have it run
    assert len(seen) == 14


@dataclass(frozen=True)
class Page:
    queries: int
    rows: int


def look(browser: Browser, refs: dict[str, Any]) -> dict[str, Page]:
    """What each page asks, and how many rows it shows."""
    found = {}
    for name in DOCUMENTS:
        with CaptureQueriesContext(connection) as seen:
            answer = browser.get(url_of(name, refs) + ASKED.get(name, ""))
        assert answer.status_code == 200, name
        html = answer.content.decode()
        found[name] = Page(len(seen), html.count("<tr") + html.count("<li"))
    return found


def grow(org: Any, refs: dict[str, Any], rows: int) -> None:
    """So many more rows of everything in the org, and of what the furnished agents have."""
    owner = owner_of(org)
    with keys.holding(org.schema, org.id):
        desk, echo = (
            Agent.objects.get(id=parse_id("agt", refs[name]))
            for name in ("agents:tools", "agents:agent")
        )
        for _ in range(rows):
            fill()
            of_agent(desk, echo, owner)
            of_person(owner)
        SavedView.objects.update(is_shared=True)
    for _ in range(rows):
        join(org, "member")


def of_agent(desk: Agent, echo: Agent, owner: Any) -> None:
    """One more of each thing that stands on an agent's own pages."""
    n = Grant.objects.count()
    caller = make_agent(f"caller-{n}")
    for callee in (desk, echo):
        Grant.objects.create(
            caller=caller, callee=callee, tools=["*"], created_at=AT, created_by_id=owner.member_id
        )
        Capability.objects.create(agent=callee, **tool(f"tool-{n}"))
        freeze(callee, AT)
        callee.save(update_fields=["manifest"])
        admit(callee, key=f"{callee.slug} {n}")
    key = ApiKey.objects.order_by("-id").first()
    assert key is not None
    ApiKey.objects.filter(id=key.id).update(agent=echo)


def of_person(owner: Any) -> None:
    """One more of each thing that a member has for themselves."""
    fields = {"kind": "tests.any.kind", "path": "/", "created_at": AT}
    Notice.objects.create(member_id=owner.member_id, title="Any", **fields)
    n, made = Channel.objects.count(), {"created_by_id": owner.member_id, "service": "slack"}
    Channel.objects.create(name=f"c{n}", created_at=AT, updated_at=AT, **made)
    own = {"member_id": owner.member_id, "created_at": AT, "updated_at": AT}
    Channel.objects.create(name=f"c{n}", **own, **made)


def tool(name: str) -> dict[str, Any]:
    return {key: said for key, said in capability(name).items() if key != "annotations"}
