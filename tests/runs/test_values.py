"""Values that can't be kept: refused at the door, and never the reason that a run stays open."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.agents.models import Agent
from apps.common.errors import Invalid
from apps.runs import selectors, spine
from apps.runs.models import Run, RunLog, Step
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.runs.spine import Notes
from tests.orgs.conftest import Api, problem
from tests.runs.factories import BY, make_agent
from tests.runs.test_views_console import URL, fields
from tests.tenants.browsing import as_member

pytestmark = pytest.mark.usefixtures("org")


def ask(**fields: Any) -> Any:
    fields.setdefault("input", {"text": "hello"})
    return invoke(Ask(agent="echo", **fields), caller=BY, at=timezone.now()).run


@pytest.fixture
def echo(scripts: Any) -> Agent:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo")


BAD = ["a\0b", "\udc00", float("inf"), float("nan"), 2**53]


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("value", BAD)
def test_an_input_that_cannot_be_kept_is_refused_with_and_without_a_key(
    echo: Agent, value: Any, key: str | None
) -> None:
    with pytest.raises(Invalid) as refused:
        ask(input={"list": [{"x": value}]}, key=key)
    assert list(refused.value.by_field) == ["input.list.0.x"]
    assert Run.objects.count() == 0
    assert ask(input={"list": [{"x": 2**53 - 1}]}, key=key).status == "succeeded"


@pytest.mark.parametrize("number", ["1e400", "9007199254740992", "-1e999"])
def test_the_api_names_the_field(echo: Agent, api: Api, number: str) -> None:
    def send(text: str) -> Any:
        return api.client.post(
            "/v1/agents/echo/invoke",
            '{"input": {"n": %s}}' % text,  # noqa: UP031
            content_type="application/json",
            HTTP_HOST=api.host,
            headers={"Authorization": f"Bearer {api.token}"},
        )

    answer = send(number)
    assert problem(answer) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["input.n"]
    assert Run.objects.count() == 0
    assert send("1e20").json()["output"] == {"n": 1e20}


@pytest.mark.parametrize(
    "typed", ['{"text": "\\u0000"}', '{"n": 1e400}', '{"n": 9007199254740992}']
)
def test_the_console_says_what_cannot_be_held(
    org: Any, owner: Any, echo: Agent, typed: str
) -> None:
    browser = as_member(org, owner)
    page = browser.get(URL)

    answer = browser.post(URL, {**fields(page), "input": typed})
    assert answer.status_code == 422
    assert b"This can&#x27;t be held as JSON: " in answer.content
    assert Run.objects.count() == 0
    assert browser.post(URL, {**fields(page), "input": '{"n": 1}'}).status_code == 303


@pytest.mark.parametrize("value", [*BAD, b"bytes"])
def test_an_output_that_cannot_be_kept_is_a_failed_run(scripts: Any, value: Any) -> None:
    scripts["echo"] = lambda invocation, ctx: {"x": [value]}
    make_agent("echo")

    run = ask()
    assert (run.status, run.output, run.error["code"]) == ("failed", None, "output_invalid")
    assert run.error["message"].startswith("output.x.0: ")
    assert run == selectors.get_run(run.id)


@pytest.mark.parametrize("value", BAD)
def test_an_answer_from_outside_that_cannot_be_kept_fails_the_step_and_happens_once(
    scripts: Any, value: Any
) -> None:
    effects: list[str] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_tool(
            name="POST", input={}, call=lambda key: effects.append(key) or {"x": value}
        )

    scripts["echo"] = script
    make_agent("echo")
    run = ask()
    assert (run.status, run.error["code"]) == ("failed", "output_invalid")
    step = Step.objects.get()
    assert (step.status, step.output, step.error) == ("failed", None, run.error)
    assert len(effects) == 1


def test_a_tool_call_with_what_cannot_be_kept_is_not_made(scripts: Any) -> None:
    effects: list[str] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        return ctx.call_tool(name="POST", input={"x": "\0"}, call=lambda key: effects.append(key))

    scripts["echo"] = script
    make_agent("echo")
    assert ask().error["code"] == "input_invalid"
    assert (effects, Step.objects.count()) == ([], 0)


def test_what_is_only_told_is_kept_as_near_as_can_be(scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.log("info", "a\0b", n=float("nan"), big=2**60, kind=object, deep=["\0"])
        with ctx.step("plan\0", {"x": "\0"}):
            pass
        return {"done": True}

    scripts["echo"] = script
    make_agent("echo")
    assert ask().status == "succeeded"
    line, step = RunLog.objects.get(), Step.objects.get()
    assert (line.message, line.fields["n"], line.fields["deep"]) == ("a\ufffdb", "nan", ["\ufffd"])
    assert (step.name, step.input) == ("plan\ufffd", {"x": "\ufffd"})


def test_a_double_is_the_same_double_for_a_worker(echo: Agent) -> None:
    at_once, later = ask(input={"n": 6.02e23}), ask(input={"n": 6.02e23}, mode="async")
    assert work_one(at=timezone.now())

    for run in (at_once, selectors.get_run(later.id)):
        assert (run.status, run.output) == ("succeeded", {"n": 6.02e23})
    assert isinstance(Run.objects.get(id=later.id).output["n"], float)


def test_a_result_that_comes_late_is_timed_out(scripts: Any) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        Run.objects.update(deadline_at=timezone.now() - timedelta(minutes=5))
        ctx.log("info", "done at last")
        return {"done": True}

    scripts["echo"] = script
    make_agent("echo")
    run = ask()
    assert (run.status, run.reason, run.output) == ("timed_out", "deadline", None)
    assert run == selectors.get_run(run.id)
    assert RunLog.objects.get().message == "done at last"


@pytest.mark.parametrize("what", ["notes", "fine"])
def test_what_postgres_refuses_at_the_end_is_a_failed_run_and_not_an_open_one(
    scripts: Any, throwaway_run: Any, what: str
) -> None:
    bad = {"id": "no uuid", "at": "?", "level": "info", "message": "", "fields": {}}

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        if what == "notes":
            ctx._notes = Notes([bad])
        return {"done": True}

    scripts["echo"] = script
    run, kept = throwaway_run()
    if what == "fine":
        assert (kept.status, kept.output) == ("succeeded", {"done": True})
        return
    assert run.error == {"code": "internal_error", "message": "The agent failed unexpectedly."}
    assert (kept.status, kept.error) == ("failed", run.error)
    assert kept.lease_until is None and kept.finished_at is not None


@pytest.fixture
def throwaway_run(scripts: Any) -> Any:
    """One run in the test's transaction; what Postgres refuses is rolled back to a savepoint."""
    real = spine.close_run

    def close(*args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            return real(*args, **kwargs)

    def run() -> Any:
        make_agent("echo")
        done = ask()
        return done, Run.objects.get(id=done.id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spine, "close_run", close)
        yield run
