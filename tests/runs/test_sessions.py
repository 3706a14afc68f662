"""Conversations: runs of one `session_id`, over HTTP, and who is told what of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.models import Agent
from apps.common.errors import Invalid
from apps.runs import selectors, spine
from apps.runs.models import SESSION_RULE, Run
from apps.runs.services import context
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.tenants import keys
from tests.agents.factories import errors
from tests.orgs.conftest import Api, problem
from tests.runs.factories import BY, LONG_AGO, admit, capability, grant, make_agent
from tests.runs.speaking import HELLO, INVOKE, find_ids, say
from tests.runs.talking import SESSION, Seen, make_listener, note, talk


@pytest.fixture
def seen(org: Any, scripts: Any) -> Seen:
    """For each text that `echo` was told, the earlier ones that it was given with it."""
    return make_listener(scripts)


# The fact of record


def test_a_run_says_its_session_and_none_is_null(api: Api, seen: Seen) -> None:
    run, apart = talk(api, "a"), say(api, "b")
    waiting = talk(api, "c", mode="async")

    assert (run["session_id"], apart["session_id"]) == (SESSION, None)
    assert waiting["session_id"] == SESSION
    for each in (run, apart, waiting):
        assert api.get(f"/runs/{each['id']}").json() == each


@pytest.mark.parametrize("name", ["x", "x" * 128, "A-z0.9_:-", "..", "user:7.2"])
def test_a_name_that_will_do(api: Api, seen: Seen, name: str) -> None:
    assert talk(api, "a", session_id=name)["session_id"] == name
    assert len(find_ids(api, f"?session_id={name}")) == 1


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "é", "a\n", "a/b", 5, None, ["a"]])
def test_a_name_that_will_not_do_is_told(api: Api, seen: Seen, name: Any) -> None:
    refused = errors(api.post(INVOKE, {**HELLO, "session_id": name}))
    assert refused == {"session_id": SESSION_RULE}
    assert not Run.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "a\n", "x" * 129])
def test_the_service_asks_too(seen: Seen, name: str) -> None:
    ask = Ask(agent="echo", input={"text": "a"}, session_id=name)
    with pytest.raises(Invalid) as refused:
        invoke(ask, caller=BY, at=timezone.now())
    assert [error["field"] for error in refused.value.extra["errors"]] == ["session_id"]
    assert not Run.objects.exists()


def test_the_session_is_part_of_what_a_key_stands_for(api: Api, seen: Seen) -> None:
    body = {**HELLO, "session_id": SESSION}
    first = api.post(INVOKE, body, Idempotency_Key="k").json()

    again = api.post(INVOKE, body, Idempotency_Key="k")
    assert (again.json(), again["Idempotent-Replayed"]) == (first, "true")
    for other in ({**body, "session_id": "another"}, HELLO):
        answer = api.post(INVOKE, other, Idempotency_Key="k")
        assert problem(answer) == (422, "idempotency_key_reused")
    assert Run.objects.count() == 1


def test_a_child_belongs_to_its_parents_session(api: Api, seen: Seen, scripts: Any) -> None:
    scripts["front"] = lambda invocation, ctx: ctx.call_agent(
        agent="echo", tool="echo", input=invocation.input
    )
    grant(make_agent("front"), Agent.objects.get(slug="echo"))
    run = api.post("/agents/front/invoke", {**HELLO, "session_id": SESSION}).json()
    apart = api.post("/agents/front/invoke", HELLO).json()

    assert api.get(f"/runs/{run['children'][0]}").json()["session_id"] == SESSION
    assert api.get(f"/runs/{apart['children'][0]}").json()["session_id"] is None
    assert set(find_ids(api, f"?session_id={SESSION}")) == {run["id"], *run["children"]}


# The filter


def test_the_filter_finds_a_session_and_goes_with_the_others(
    api: Api, api_as: Any, seen: Seen, other_org: Any
) -> None:
    member = api_as("member")
    a, b = talk(api, "a")["id"], talk(member, "b", mode="async")["id"]
    say(api, "c")
    talk(api, "d", session_id=f"{SESSION}1")
    with keys.holding(other_org.schema, other_org.id):
        admit(make_agent("echo"), session_id=SESSION)

    assert find_ids(api, f"?session_id={SESSION}") == [b, a]
    assert find_ids(api, f"?session_id={SESSION}&status=queued&agent=echo") == [b]
    assert find_ids(api, "?session_id=nobody-s") == []
    assert len(find_ids(api)) == 4
    for query in ("session_id=", f"session_id={'x' * 129}", "session_id=a&session_id=b"):
        assert set(errors(api.get(f"/runs?{query}"))) == {"session_id"}


def test_an_index_answers_the_filter_in_order(org: Any, as_if_many: None) -> None:
    rows = selectors.list_runs(session_id=SESSION).order_by("-created_at", "-id")
    with connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off; set local enable_sort = off")
    plan = rows[:50].explain()
    assert "run_of_session" in plan and "Sort" not in plan


def test_the_description_has_it_wherever_it_is_said(api: Api) -> None:
    whole = api.get("/schema").json()
    invoke_post = whole["paths"]["/v1/agents/{agent}/invoke"]["post"]
    said = invoke_post["requestBody"]["content"]["application/json"]["schema"]
    told = said["properties"]["session_id"]
    assert (told["type"], told["maxLength"]) == ("string", 128)
    assert "session_id" not in said["required"]
    asked = [p["name"] for p in whole["paths"]["/v1/runs"]["get"]["parameters"]]
    assert "session_id" in asked
    run = whole["components"]["schemas"]["RunRead"]
    assert set(run["properties"]["session_id"]["type"]) == {"string", "null"}


# What is told of it


def test_earlier_turns_are_told_the_oldest_first(api: Api, seen: Seen) -> None:
    talk(api, "a", "b", "c")
    say(api, "apart")
    talk(api, "elsewhere", session_id="other")
    talk(api, "d")

    assert seen == {"a": [], "b": ["a"], "c": ["a", "b"], "apart": [], "elsewhere": []} | {
        "d": ["a", "b", "c"]
    }


def test_the_newest_turns_are_told(api: Api, seen: Seen, scripts: Any) -> None:
    scripts["echo"] = lambda invocation, ctx: note(seen, invocation, ctx, turns=2)
    talk(api, "a", "b", "c", "d")
    assert seen["d"] == ["b", "c"]


def test_what_would_be_too_much_is_left_out_from_the_oldest_on(
    api: Api, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn is `{"text": "…"}` twice, 24 characters and its text's."""
    monkeypatch.setattr(context, "HISTORY_MAX", 3 * (24 + 2 * 5))
    talk(api, "aaaaa", "bbbbb", "ccccc", "ddddd", "eeeee")
    assert seen["ddddd"] == ["aaaaa", "bbbbb", "ccccc"]
    assert seen["eeeee"] == ["bbbbb", "ccccc", "ddddd"]
    talk(api, "f" * 100, "g", "h")
    assert seen["g"] == [] and seen["h"] == [
        "g"
    ]  # not "eeeee", which is older than what is left out


def run_out_of_time(invocation: Any, ctx: Any) -> Any:
    raise context.OutOfTime


def test_only_what_succeeded_is_told(api: Api, seen: Seen, scripts: Any) -> None:
    echo = scripts["echo"]
    talk(api, "good")
    scripts["echo"] = lambda invocation, ctx: 1 / 0
    assert talk(api, "failed")["status"] == "failed"
    scripts["echo"] = run_out_of_time
    assert talk(api, "late")["status"] == "timed_out"
    scripts["echo"] = echo
    waiting = talk(api, "cancelled", mode="async")
    assert api.post(f"/runs/{waiting['id']}/cancel").status_code == 200
    talk(api, "open", mode="async")
    Agent.objects.filter(slug="echo").update(status="suspended")
    refused = api.post(INVOKE, {"input": {"text": "denied"}, "session_id": SESSION})
    assert problem(refused) == (403, "run_denied")
    Agent.objects.filter(slug="echo").update(status="active")

    talk(api, "good too")
    talk(api, "last")
    statuses = set(Run.objects.values_list("status", flat=True))
    assert statuses == {"succeeded", "failed", "cancelled", "timed_out", "queued", "denied"}
    assert seen["last"] == ["good", "good too"]


def test_another_tool_and_another_agent_are_told_nothing(
    api: Api, seen: Seen, scripts: Any
) -> None:
    scripts["two"] = lambda invocation, ctx: note(seen, invocation, ctx)
    make_agent("two", tools=[capability("one"), capability("other"), capability("echo")])

    def ask(tool: str, text: str) -> None:
        body = {"tool": tool, "input": {"text": text}, "session_id": SESSION}
        assert api.post("/agents/two/invoke", body).json()["status"] == "succeeded"

    talk(api, "a")
    ask("one", "b")
    ask("other", "c")
    ask("echo", "of the same name")
    assert seen["b"] == seen["c"] == seen["of the same name"] == []
    ask("one", "d")
    talk(api, "e")
    assert (seen["d"], seen["e"]) == (["b"], ["a"])  # the control


# Every attempt, and what it costs


def test_a_later_attempt_is_told_the_same(api: Api, seen: Seen, scripts: Any) -> None:
    told: list[list[str]] = []

    def script(invocation: Any, ctx: Any) -> Any:
        note(seen, invocation, ctx)
        if invocation.input["text"] == "b":
            told.append(seen["b"])
            if invocation.attempt == 1:
                raise DatabaseError("gone")
        return invocation.input

    scripts["echo"] = script
    talk(api, "a")
    run = talk(api, "b", mode="async")["id"]
    talk(api, "meanwhile")
    with pytest.raises(DatabaseError):
        work_one(at=timezone.now())
    talk(api, "afterwards")
    Run.objects.filter(id=run.removeprefix("run_")).update(lease_until=timezone.now() - LONG_AGO)
    assert len(spine.reap_runs(limit=5, at=timezone.now())) == 1
    assert work_one(at=timezone.now())

    assert told == [["a"], ["a"]]
    assert api.get(f"/runs/{run}").json()["attempt"] == 2
    talk(api, "last")
    assert seen["last"] == ["a", "b", "meanwhile", "afterwards"]


def test_history_is_one_query_and_none_without_a_session(
    api: Api, seen: Seen, scripts: Any
) -> None:
    counts: dict[str, int] = {}

    def script(invocation: Any, ctx: Any) -> Any:
        with CaptureQueriesContext(connection) as queries:
            ctx.history(50)
        counts[invocation.input["text"]] = len(queries)
        return invocation.input

    scripts["echo"] = script
    say(api, "apart")
    talk(api, "a", "b")
    assert counts == {"apart": 0, "a": 1, "b": 1}


def test_an_index_answers_what_was_said_before(api: Api, seen: Seen, as_if_many: None) -> None:
    """One of the two that begin with the session: while a table is small, the planner sees no
    difference between them."""
    run = talk(api, "a", "b")["id"].removeprefix("run_")

    def scans() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "select pg_stat_get_xact_numscans('run_turn'::regclass)"
                " + pg_stat_get_xact_numscans('run_of_session'::regclass)"
            )
            return int(cursor.fetchone()[0])

    with connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off; set local enable_sort = off")
    before = scans()
    assert len(spine.list_turns_before(Run(id=run).id, turns=5, size=1000)) == 1
    assert scans() == before + 1


def test_a_run_of_a_session_shows_no_other_runs_data(api: Api, seen: Seen) -> None:
    """What an agent was told stays in the runs that it was said in."""
    talk(api, "one secret")
    second = talk(api, "two")
    assert seen["two"] == ["one secret"]
    found = [api.get(f"/runs/{second['id']}{part}").content for part in ("", "/steps", "/logs")]
    assert not any(b"secret" in each for each in found)
