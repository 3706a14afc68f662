"""/v1 of runs over HTTP: invoking, what its answers look like, and what is refused how."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from django.utils import timezone

from apps.common.ids import public_id
from apps.runs.models import Run
from apps.runs.services.invoke import work_one
from tests.agents.factories import errors, let_call
from tests.agents.factories import make_agent as register
from tests.orgs.conftest import Api, owner_of, problem, token_for
from tests.runs.factories import make_agent
from tests.runs.speaking import HELLO, INSTANT, INVOKE, find_ids, make_echo, say

RUN_ID = re.compile(r"run_[0-9a-f]{32}")


@pytest.fixture
def echo(org: Any, scripts: Any) -> Any:
    return make_echo(scripts)


# The run object


def test_a_sync_run_is_answered_whole(api: Api, echo: Any) -> None:
    answer = api.post(INVOKE, HELLO)

    assert answer.status_code == 200
    whole = answer.json()
    run, me = dict(whole), api.get("/me").json()["principal"]
    varying = {name: run.pop(name) for name in ("id", "created_at", "started_at", "finished_at")}
    took = run.pop("duration_ms")
    assert run == {
        "title": "hello",
        "agent": "echo",
        "tool": "echo",
        "project": "default",
        "caller": me,
        "status": "succeeded",
        "reason": None,
        "mode": "sync",
        "environment": "live",
        "session_id": None,
        "input": {"text": "hello"},
        "output": {"text": "hello"},
        "error": None,
        "cost_micros": 0,
        "usage": None,
        "parent": None,
        "root": varying["id"],
        "children": [],
        "manifest": {"version": 1, "digest": echo.manifest.digest},
        "decision_id": None,
        "approval_id": None,
        "attempt": 1,
    }
    assert me["type"] == "api_key"
    assert RUN_ID.fullmatch(varying.pop("id"))
    assert all(INSTANT.fullmatch(moment) for moment in varying.values())
    assert sorted(varying.values()) == list(varying.values()) and took >= 0
    assert api.get(f"/runs/{whole['id']}").json() == whole
    assert api.get("/runs").json() == {"results": [whole], "next": None}


def test_an_async_run_is_202_and_read_later(api: Api, echo: Any) -> None:
    answer = api.post(INVOKE, {"mode": "async", **HELLO})
    run = answer.json()
    assert (answer.status_code, run["status"], run["mode"]) == (202, "queued", "async")
    later = ("output", "started_at", "finished_at", "duration_ms")
    assert {run[name] for name in later} == {None}
    assert api.get(f"/runs/{run['id']}").json() == run

    assert work_one(at=timezone.now())
    done = api.get(f"/runs/{run['id']}").json()
    assert (done["status"], done["output"]) == ("succeeded", {"text": "hello"})
    assert {name for name in run if run[name] != done[name]} == {
        *("status", "output", "attempt", "started_at", "finished_at", "duration_ms")
    }


def test_a_run_that_failed_is_answered_with_its_error(api: Api, org: Any, scripts: Any) -> None:
    from apps.agents.runtimes.base import WorkFailed

    def fail(invocation: Any, ctx: Any) -> dict[str, Any]:
        raise WorkFailed("too_hard", "It is too hard.")

    scripts["echo"] = fail
    make_agent("echo")
    run = say(api)
    assert (run["status"], run["output"]) == ("failed", None)
    assert run["error"] == {"code": "too_hard", "message": "It is too hard."}


def test_the_concierge_answers_with_two_child_runs(api: Api, owner: Any) -> None:
    made = {
        slug: register(owner, name=slug.title(), config={"skill": slug})
        for slug in ("concierge", "calculator", "summarizer")
    }
    for callee in ("calculator", "summarizer"):
        let_call(owner, made["concierge"], made[callee])
    text = "Cats sleep a lot. Cats sleep in the sun and in the shade. A dog barked once."
    question = f"What is 17 * 23, and summarize this: {text}"

    answer = api.post("/agents/concierge/invoke", {"input": {"question": question}})

    run = answer.json()
    assert (answer.status_code, run["status"]) == (200, "succeeded"), run
    assert sorted(run["output"]["used"]) == ["calculator", "summarizer"]
    assert "391" in run["output"]["answer"]
    children = [api.get(f"/runs/{child}").json() for child in run["children"]]
    assert {child["agent"] for child in children} == {"calculator", "summarizer"}
    concierge = {
        "type": "agent",
        "id": public_id("agt", made["concierge"].id),
        "label": "concierge",
    }
    for child in children:
        assert (child["parent"], child["root"]) == (run["id"], run["id"])
        assert (child["caller"], child["status"]) == (concierge, "succeeded")
    assert Run.objects.count() == 3


# Idempotency


def test_a_repeat_is_the_same_answer_and_says_so(api: Api, echo: Any) -> None:
    first = api.post(INVOKE, HELLO, Idempotency_Key="k")
    again = api.post(INVOKE, HELLO, Idempotency_Key="k")
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first
    assert Run.objects.count() == 1

    other = api.post(INVOKE, {"input": {"text": "other"}}, Idempotency_Key="k")
    assert problem(other) == (422, "idempotency_key_reused")
    assert problem(api.post(INVOKE, HELLO, Idempotency_Key="k k")) == (400, "bad_request")
    assert Run.objects.count() == 1
    assert say(api)["id"] != first.json()["id"]


def test_a_repeat_while_the_run_is_at_work_is_409_and_names_it(
    api: Api, echo: Any, scripts: Any
) -> None:
    inner: list[Any] = []

    def slow(invocation: Any, ctx: Any) -> dict[str, Any]:
        inner.append(api.post(INVOKE, HELLO, Idempotency_Key="k"))
        return invocation.input

    scripts["echo"] = slow
    answer = api.post(INVOKE, HELLO, Idempotency_Key="k")
    assert answer.json()["status"] == "succeeded"
    assert problem(inner[0]) == (409, "idempotency_in_flight")
    assert inner[0].json()["run"] == answer.json()["id"]
    assert Run.objects.count() == 1


# Refusals


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": {}}, "input.text"),
        ({"input": {"text": 5}}, "input.text"),
        ({"input": {"text": "x", "more": 1}}, "input.more"),
        ({}, "input"),
        ({"input": "text"}, "input"),
        ({**HELLO, "tool": "none"}, "tool"),
        ({**HELLO, "mode": "later"}, "mode"),
        ({**HELLO, "colour": "red"}, "colour"),
    ],
)
def test_bad_input_is_a_problem_that_names_the_field(
    api: Api, echo: Any, body: Any, field: str
) -> None:
    assert set(errors(api.post(INVOKE, body))) == {field}
    assert Run.objects.count() == 0


def test_a_project_that_is_nobodys_is_the_fields_fault(api: Api, echo: Any) -> None:
    answer = api.post(INVOKE, {**HELLO, "project": "nowhere"})
    assert problem(answer) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["project"]
    assert Run.objects.count() == 0


def test_a_suspended_agent_is_403_and_the_denied_run_is_on_record(api: Api, echo: Any) -> None:
    echo.suspend(note="")
    echo.save()
    answer = api.post(INVOKE, HELLO, Idempotency_Key="k")
    assert problem(answer) == (403, "run_denied")
    refused = answer.json()
    assert refused["reason"] == "agent_suspended"
    assert find_ids(api, "?status=denied") == [refused["run"]]
    run = api.get(f"/runs/{refused['run']}").json()
    assert (run["status"], run["reason"], run["output"]) == ("denied", "agent_suspended", None)
    assert (run["attempt"], run["started_at"]) == (0, None) and run["finished_at"]

    echo.activate()
    echo.save()
    passed = api.post(INVOKE, HELLO, Idempotency_Key="k")
    assert (passed.status_code, passed.json()["status"]) == (200, "succeeded")


def test_who_may_not_invoke_leaves_no_run(api_as: Any, echo: Any) -> None:
    refused = api_as("viewer").post(INVOKE, HELLO)
    assert problem(refused) == (403, "permission_denied")
    assert refused.json()["permission"] == "agents.invoke"
    assert Run.objects.count() == 0
    assert say(api_as("member"))["status"] == "succeeded"


def test_another_orgs_key_and_run_open_nothing(
    api: Api, echo: Any, org: Any, other_org: Any
) -> None:
    run = say(api)
    theirs = token_for(other_org, owner_of(other_org))
    foreign = Api(theirs, host=f"{org.slug}.localhost:8000")
    assert problem(foreign.post(INVOKE, HELLO)) == (401, "unauthenticated")
    stranger = Api(theirs)
    for tail in ("", "/steps", "/logs"):
        assert problem(foreign.get(f"/runs/{run['id']}{tail}"))[0] == 401
        assert problem(stranger.get(f"/runs/{run['id']}{tail}")) == (404, "not_found")
        assert api.get(f"/runs/{run['id']}{tail}").status_code == 200
    assert problem(stranger.post(f"/runs/{run['id']}/cancel")) == (404, "not_found")
    assert stranger.get("/runs").json()["results"] == []
    assert Run.objects.count() == 1
    for wrong in ("run_" + "0" * 32, "run_1", "1"):
        assert problem(api.get(f"/runs/{wrong}")) == (404, "not_found")


def test_refusals_are_as_the_description_has_them(api: Api, echo: Any) -> None:
    schema = api.get("/schema").json()
    document = {**schema["components"]["schemas"]["Problem"], "components": schema["components"]}
    described = schema["paths"]["/v1/agents/{agent}/invoke"]["post"]["responses"]
    codes = set()
    for status in ("403", "409", "422"):
        examples = described[status]["content"]["application/problem+json"]["examples"]
        for example in examples.values():
            jsonschema.validate(example["value"], document)
            assert example["value"]["status"] == int(status)
            codes.add(example["value"]["code"])
    assert codes == {
        *("run_denied", "permission_denied", "idempotency_in_flight"),
        *("invalid", "idempotency_key_reused"),
    }
    assert {"run", "reason", "permission"} <= set(document["properties"])
