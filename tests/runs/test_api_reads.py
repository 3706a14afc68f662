"""/v1 of runs over HTTP: its lists and their filters, steps, log lines, and cancelling."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common import pagination
from apps.common.ids import public_id
from apps.orgs.selectors import get_project
from apps.orgs.services import projects
from apps.runs.models import Run, RunLog, Step
from apps.runs.services.invoke import work_one
from apps.tenants import keys
from tests.agents.factories import errors
from tests.orgs.conftest import AT, Api, problem
from tests.runs.factories import admit, grant, make_agent
from tests.runs.speaking import HELLO, INSTANT, find_ids, make_echo, say, walk


@pytest.fixture
def echo(org: Any, scripts: Any) -> Any:
    return make_echo(scripts)


# Lists


def test_each_filter_finds_what_it_says(
    api: Api, api_as: Any, echo: Any, owner: Any, scripts: Any, rewrite: Any
) -> None:
    projects.create_project(name="Support", actor=owner.actor, at=AT)
    other = make_agent("other")
    scripts["other"] = lambda invocation, ctx: {}
    a = say(api, "a")["id"]
    b = say(api, "b", project="support", mode="async")["id"]
    member = api_as("member")
    c = member.post("/agents/other/invoke", HELLO).json()["id"]
    hour = timedelta(hours=1)
    for n, run in enumerate((a, b, c)):
        rewrite(Run.objects.filter(id=run.removeprefix("run_")), created_at=AT + n * hour)

    support = public_id("prj", get_project("support").id)
    caller = member.get("/me").json()["principal"]["id"]
    then, later = ((AT + n * hour).isoformat().replace("+00:00", "Z") for n in (1, 2))
    found = {
        "": [c, b, a],
        "?project=support": [b],
        f"?project={support}": [b],
        "?agent=other": [c],
        f"?agent={public_id('agt', other.id)}": [c],
        "?status=queued": [b],
        "?status=succeeded": [c, a],
        f"?since={then}": [c, b],
        f"?until={then}": [a],
        f"?since={then}&until={later}": [b],
        f"?caller={caller}": [c],
        f"?root={a}": [a],
        "?status=succeeded&agent=echo&project=default": [a],
        "?status=denied": [],
        "?caller=key_nobody": [],
    }
    assert {query: find_ids(api, query) for query in found} == found


def test_root_finds_the_whole_tree(api: Api, org: Any, scripts: Any) -> None:
    scripts["back"] = lambda invocation, ctx: {}
    scripts["echo"] = lambda invocation, ctx: ctx.call_agent(agent="back", tool="back", input={})
    grant(make_agent("echo"), make_agent("back"))
    run, apart = say(api), say(api)
    assert find_ids(api, f"?root={run['id']}") == [*run["children"], run["id"]]
    assert find_ids(api, f"?root={run['children'][0]}") == []
    assert len(find_ids(api, "")) == 4 and apart["root"] == apart["id"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("project=nowhere", "project"),
        ("agent=nobody", "agent"),
        ("status=happy", "status"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("until=5", "until"),
        ("root=run_1", "root"),
        ("root=agt_" + "0" * 32, "root"),
        ("colour=red", "colour"),
        ("status=queued&status=denied", "status"),
        ("limit=0", "limit"),
    ],
)
def test_a_filter_that_cannot_be_read_is_told(api: Api, echo: Any, query: str, field: str) -> None:
    assert set(errors(api.get(f"/runs?{query}"))) == {field}


def test_pages_show_every_run_once_while_more_are_made(api: Api, echo: Any) -> None:
    made = [say(api, str(n))["id"] for n in range(5)]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get(f"/runs?agent=echo&limit=2{cursor and f'&cursor={cursor}'}").json()
        seen += [run["id"] for run in page["results"]]
        cursor = page["next"]
        say(api, "meanwhile")
    assert seen == made[::-1]
    assert problem(api.get("/runs?cursor=broken")) == (400, "bad_request")


def test_more_runs_cost_no_more_queries(api: Api, echo: Any) -> None:
    def queries(upto: int) -> int:
        for n in range(Run.objects.count(), upto):
            say(api, str(n))
        with CaptureQueriesContext(connection) as seen:
            assert len(api.get("/runs").json()["results"]) == upto
        return len(seen)

    queries(1)
    assert queries(2) == queries(12) <= 6


def test_a_page_of_large_runs_is_short_and_goes_on(
    api: Api, org: Any, scripts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "PAGE_BYTES", 10_000)
    scripts["echo"] = lambda invocation, ctx: invocation.input
    make_agent("echo")
    made = [say(api, letter * 2_000)["id"] for letter in "abcde"]  # 4,000 each, in and out
    pages = walk(api, "/runs?limit=200")
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [run["id"] for page in pages for run in page] == made[::-1]

    monkeypatch.setattr(pagination, "PAGE_BYTES", 100)
    assert len(api.get("/runs").json()["results"]) == 1
    monkeypatch.undo()
    assert len(api.get("/runs").json()["results"]) == 5


# Steps, logs, cancel


def test_steps_and_log_lines_are_told_in_order(api: Api, org: Any, scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.log("info", "begun", tries=1)
        with ctx.step("plan", {"calls": 2}):
            pass
        ctx.call_tool(name="POST", input={"a": 1}, call=lambda key: {"ok": True})
        ctx.log("warning", "nearly done")
        return ctx.call_agent(agent="back", tool="back", input={"n": 1})

    scripts["echo"], scripts["back"] = script, lambda invocation, ctx: {}
    grant(make_agent("echo"), make_agent("back"))
    run = say(api)

    answer = api.get(f"/runs/{run['id']}/steps").json()
    assert answer["next"] is None
    plan, tool, call = answer["results"]
    for step in answer["results"]:
        assert re.fullmatch(r"stp_[0-9a-f]{32}", step.pop("id"))
        assert INSTANT.fullmatch(step.pop("started_at"))
        assert INSTANT.fullmatch(step.pop("finished_at"))
    same = {"attempt": 1, "status": "succeeded", "error": None}
    assert plan == {
        **same,
        "ordinal": 1,
        "kind": "work",
        "name": "plan",
        "input": {"calls": 2},
        "output": None,
        "child": None,
    }
    assert tool == {
        **same,
        "ordinal": 2,
        "kind": "tool_call",
        "name": "POST",
        "input": {"a": 1},
        "output": {"ok": True},
        "child": None,
    }
    assert (call["kind"], call["name"], call["child"]) == (
        "agent_call",
        "back.back",
        run["children"][0],
    )

    logs = api.get(f"/runs/{run['id']}/logs").json()
    assert all(INSTANT.fullmatch(line.pop("at")) for line in logs["results"])
    assert logs["results"] == [
        {"attempt": 1, "level": "info", "message": "begun", "fields": {"tries": 1}},
        {"attempt": 1, "level": "warning", "message": "nearly done", "fields": {}},
    ]


@pytest.mark.parametrize("part", ["steps", "logs"])
def test_steps_and_logs_are_paged(api: Api, scripts: Any, part: str) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        for n in range(5):
            ctx.log("info", f"{n}")
            with ctx.step(f"{n}"):
                pass
        return {}

    scripts["echo"] = script
    make_agent("echo")
    pages = walk(api, f"/runs/{say(api)['id']}/{part}?limit=2")
    assert [[row.get("name") or row["message"] for row in page] for page in pages] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]
    assert (Step.objects.count(), RunLog.objects.count()) == (5, 5)


def test_an_open_run_is_cancelled_once(api: Api, api_as: Any, echo: Any, events: Any) -> None:
    run = say(api, mode="async")
    path = f"/runs/{run['id']}/cancel"
    assert problem(api_as("viewer").post(path)) == (403, "permission_denied")
    assert api.get(f"/runs/{run['id']}").json()["status"] == "queued"

    answer = api.post(path)
    ended = answer.json()
    assert (answer.status_code, ended["status"], ended["reason"]) == (200, "cancelled", "by_hand")
    assert api.get(f"/runs/{run['id']}").json() == ended
    assert [subject for action, subject, _ in events() if action == "runs.run.cancelled"] == [
        run["id"]
    ]
    assert problem(api.post(path)) == (409, "run_closed")
    assert problem(api.post(f"/runs/{say(api)['id']}/cancel")) == (409, "run_closed")
    assert api.get(f"/runs/{run['id']}").json() == ended
    assert not work_one(at=timezone.now())


def test_a_foreign_orgs_runs_are_in_no_list(api: Api, echo: Any, other_org: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = admit(make_agent("echo")).run_id
    own = say(api)["id"]
    assert find_ids(api, "") == [own]
    assert find_ids(api, f"?root={public_id('run', theirs)}") == []
