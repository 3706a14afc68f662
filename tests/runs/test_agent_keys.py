"""An agent that calls another with its own key: judged by its grants, as within a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Grant
from apps.common.ids import public_id
from apps.orgs.models import Member, Role
from apps.orgs.services.keys import create_key
from apps.orgs.services.roles import create_role
from apps.runs.models import Run, Step
from apps.runs.services.invoke import work_one
from tests.orgs.conftest import Api, join, problem
from tests.runs.factories import BY, capability, grant, make_agent

HELLO = {"input": {"text": "hello"}}


@pytest.fixture
def pair(org: Any, scripts: Any) -> tuple[Agent, Agent]:
    """`front`, which has a key, and `back`, which gives back its input."""
    scripts["back"] = lambda invocation, ctx: invocation.input
    tools = [capability(name) for name in ("back", "other")]
    return make_agent("front"), make_agent("back", tools=tools)


def key_of(agent: Agent, owner: Any, **fields: Any) -> Api:
    made = create_key(name="Outside", agent=agent.slug, by=owner, at=timezone.now(), **fields)
    return Api(made.token)


def refused(answer: Any, reason: str) -> Run:
    """A refusal that names its reason and its run; that run, the only row that there is."""
    assert problem(answer) == (403, "run_denied"), answer.content
    body, run = answer.json(), Run.objects.get()
    assert (body["reason"], body["run"]) == (reason, public_id("run", run.id))
    assert (run.status, run.reason, run.output) == ("denied", reason, None)
    assert Step.objects.count() == 0
    return run


def test_with_a_grant_the_agent_calls_and_is_the_caller(pair: Any, owner: Any, api: Api) -> None:
    front, back = pair
    grant(front, back, ["back"])

    answer = key_of(front, owner).post("/agents/back/invoke", {"tool": "back", **HELLO})

    assert answer.status_code == 200, answer.content
    run = answer.json()
    caller = {"type": "agent", "id": public_id("agt", front.id), "label": "front"}
    assert (run["caller"], run["output"], run["parent"]) == (caller, {"text": "hello"}, None)
    assert run["root"] == run["id"]
    assert api.get(f"/runs/{run['id']}").json() == run
    found = api.get(f"/runs?caller={caller['id']}").json()["results"]
    assert [each["id"] for each in found] == [run["id"]]
    assert Run.objects.get().lineage == [front.id, back.id]


def test_without_a_grant_no_agent_calls_another(pair: Any, owner: Any, api: Api) -> None:
    front, _ = pair
    answer = key_of(front, owner).post("/agents/back/invoke", {"tool": "back", **HELLO})

    run = refused(answer, "no_grant")
    assert (run.caller_type, run.caller_id) == ("agent", public_id("agt", front.id))
    people = api.post("/agents/back/invoke", {"tool": "back", **HELLO})
    assert people.json()["status"] == "succeeded"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": ["other"]},
        {"active": False, "revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_a_grant_that_does_not_count_lets_nothing_pass(
    pair: Any, owner: Any, fields: dict[str, Any]
) -> None:
    front, back = pair
    grant(front, back, **fields)
    own = key_of(front, owner)
    refused(own.post("/agents/back/invoke", {"tool": "back", **HELLO}), "no_grant")

    Grant.objects.all().update(active=True, revoked_at=None, expires_at=None, tools=["*"])
    assert own.post("/agents/back/invoke", {"tool": "back", **HELLO}).status_code == 200


def test_a_grant_is_one_way(pair: Any, owner: Any) -> None:
    front, back = pair
    grant(front, back)
    refused(key_of(back, owner).post("/agents/front/invoke", HELLO), "no_grant")


def test_no_agent_calls_itself(pair: Any, owner: Any) -> None:
    _, back = pair
    answer = key_of(back, owner).post("/agents/back/invoke", {"tool": "back", **HELLO})
    refused(answer, "cycle")


def test_no_call_comes_back_to_the_agent_whose_key_began_it(
    pair: Any, owner: Any, scripts: Any
) -> None:
    from apps.agents.runtimes.base import CallFailed

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        with pytest.raises(CallFailed) as failed:
            ctx.call_agent(agent="front", tool="front", input={})
        return {"code": failed.value.code}

    front, back = pair
    scripts["back"] = script
    grant(front, back)
    grant(back, front)
    answer = key_of(front, owner).post("/agents/back/invoke", {"tool": "back", "input": {}})
    assert answer.json()["output"] == {"code": "cycle"}
    assert Run.objects.count() == 1


@pytest.mark.parametrize(("auth", "passes"), [("person", False), ("agent", True), ("any", True)])
def test_a_tool_says_which_callers_it_is_for(
    org: Any, scripts: Any, owner: Any, api: Api, auth: str, passes: bool
) -> None:
    scripts["back"] = lambda invocation, ctx: {}
    front, back = make_agent("front"), make_agent("back", tools=[capability("back", auth=auth)])
    grant(front, back)
    answer = key_of(front, owner).post("/agents/back/invoke", {"input": {}})
    if passes:
        assert answer.status_code == 200
    else:
        refused(answer, "auth_person")
        assert api.post("/agents/back/invoke", {"input": {}}).status_code == 200


def test_scopes_and_the_makers_role_bound_it_too(pair: Any, owner: Any, somebody: Any) -> None:
    front, back = pair
    grant(front, back)
    reader = key_of(front, owner, scopes=["agents.view"])
    answer = reader.post("/agents/back/invoke", {"tool": "back", **HELLO})
    assert problem(answer) == (403, "permission_denied")
    assert answer.json()["permission"] == "agents.invoke"
    assert Run.objects.count() == 0
    worker = key_of(front, somebody("member"), scopes=["agents.invoke"])
    assert worker.post("/agents/back/invoke", {"tool": "back", **HELLO}).status_code == 200


def test_a_suspended_agents_key_opens_nothing(pair: Any, owner: Any) -> None:
    front, back = pair
    grant(front, back)
    own = key_of(front, owner)
    assert own.post("/agents/back/invoke", {"tool": "back", **HELLO}).status_code == 200
    front.suspend(note="")
    front.save()
    answer = own.post("/agents/back/invoke", {"tool": "back", **HELLO})
    assert problem(answer) == (401, "unauthenticated")
    assert Run.objects.count() == 1


def test_an_agent_stopped_after_it_was_let_in_is_refused_by_the_admission(pair: Any) -> None:
    from apps.runs.errors import RunDenied
    from apps.runs.services.context import agent_actor
    from apps.runs.services.invoke import Ask, invoke

    front, back = pair
    grant(front, back)
    front.suspend(note="")
    front.save()
    with pytest.raises(RunDenied) as denied:
        invoke(
            Ask(agent="back", tool="back", input={}),
            caller=replace(BY, actor=agent_actor(front.id, "front")),
            at=timezone.now(),
        )
    assert denied.value.extra["reason"] == "caller_stopped"
    assert Run.objects.get().status == "denied"


def test_what_an_agent_asks_for_later_is_judged_when_it_asks(pair: Any, owner: Any) -> None:
    front, back = pair
    own = key_of(front, owner)
    later = {"tool": "back", "mode": "async", **HELLO}
    refused(own.post("/agents/back/invoke", later), "no_grant")
    grant(front, back)
    answer = own.post("/agents/back/invoke", later)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert work_one(at=timezone.now())
    assert own.get(f"/runs/{answer.json()['id']}").json()["status"] == "succeeded"


def test_all_keys_of_an_agent_share_what_an_idempotency_key_stands_for(
    pair: Any, owner: Any, somebody: Any
) -> None:
    front, back = pair
    grant(front, back)
    one, two = key_of(front, owner), key_of(front, somebody("member"))
    body = {"tool": "back", **HELLO}
    first = one.post("/agents/back/invoke", body, Idempotency_Key="k")
    again = two.post("/agents/back/invoke", body, Idempotency_Key="k")
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert Run.objects.count() == 1


def test_a_repeat_is_told_no_more_than_the_run_tells(pair: Any, org: Any, owner: Any) -> None:
    front, back = pair
    grant(front, back)
    doing = ["agents.invoke", "agents.view", "runs.view"]
    blind = create_role(name="Blind", permissions=doing, by=owner, at=timezone.now())
    body = {"tool": "back", **HELLO}
    first = key_of(front, owner).post("/agents/back/invoke", body, Idempotency_Key="k")
    maker = join(org, "member")
    weak = key_of(front, maker)
    Member.objects.filter(id=maker.member_id).update(role=Role.objects.get(slug=blind.slug))
    again = weak.post("/agents/back/invoke", body, Idempotency_Key="k")

    assert first.json()["output"] == HELLO["input"]
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == weak.get(f"/runs/{first.json()['id']}").json()
    assert (again.json()["input"], again.json()["output"]) == (None, None)
