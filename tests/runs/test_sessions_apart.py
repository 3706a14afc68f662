"""One name of a session, several callers: what is told to one is never told to another."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.runtimes.base import Session
from apps.orgs.services.keys import create_key
from apps.runs.services.invoke import Ask, invoke, work_one
from apps.tenants import keys
from tests.orgs.conftest import Api, owner_of, token_for
from tests.runs.factories import capability, grant, make_agent
from tests.runs.speaking import TEXT_ONLY, say
from tests.runs.talking import SESSION, Seen, make_listener, talk


@pytest.fixture
def seen(org: Any, scripts: Any) -> Seen:
    """For each text that `echo` was told, the earlier ones that it was given with it."""
    return make_listener(scripts)


def test_another_members_session_of_the_same_name_is_another(
    api: Api, api_as: Any, seen: Seen, owner: Any, somebody: Any
) -> None:
    member, viewer = api_as("member"), somebody("viewer")
    talk(api, "owner's")
    talk(member, "member's")
    ask = Ask(agent="echo", input={"text": "by hand"}, session_id=SESSION)
    for person in (owner, viewer):
        invoke(ask, caller=person, at=timezone.now())
        assert seen["by hand"] == []

    talk(member, "again")
    assert seen["member's"] == [] and seen["again"] == ["member's"]


def test_two_keys_of_one_member_have_two_conversations(seen: Seen, org: Any, owner: Any) -> None:
    one, two = (Api(token_for(org, owner)) for _ in range(2))
    talk(one, "a")
    talk(two, "b")
    talk(one, "c")
    talk(two, "d")
    assert seen == {"a": [], "b": [], "c": ["a"], "d": ["b"]}


def test_another_orgs_session_is_another(
    api: Api, seen: Seen, scripts: Any, other_org: Any
) -> None:
    with keys.holding(other_org.schema, other_org.id):
        make_agent("echo", tools=[capability("echo", input_schema=TEXT_ONLY)])
    theirs = Api(token_for(other_org, owner_of(other_org)))
    talk(theirs, "theirs")
    talk(api, "ours")
    talk(theirs, "again")
    assert seen == {"theirs": [], "ours": [], "again": ["theirs"]}


# Calls between agents


@pytest.fixture
def front(seen: Seen, scripts: Any) -> Any:
    """An agent that has `echo` answer."""
    return make_front(scripts, "front")


def make_front(scripts: Any, slug: str) -> Agent:
    scripts[slug] = lambda invocation, ctx: ctx.call_agent(
        agent="echo", tool="echo", input=invocation.input
    )
    agent = make_agent(slug)
    grant(agent, Agent.objects.get(slug="echo"))
    return agent


def through(api: Api, text: str, agent: str = "front") -> Any:
    body = {"input": {"text": text}, "session_id": SESSION}
    run = api.post(f"/agents/{agent}/invoke", body).json()
    assert run["status"] == "succeeded", run
    return run


def test_a_called_agent_is_told_nothing_of_another_callers_conversation(
    api: Api, api_as: Any, seen: Seen, front: Any
) -> None:
    """Its caller is the same agent each time; whose call began it all tells them apart."""
    member = api_as("member")
    through(api, "owner's")
    through(member, "member's")
    through(api, "again")
    assert seen == {"owner's": [], "member's": [], "again": ["owner's"]}


def test_a_called_agent_is_told_nothing_of_what_another_agent_asked(
    api: Api, seen: Seen, scripts: Any, front: Any
) -> None:
    make_front(scripts, "other")
    through(api, "a")
    through(api, "b", "other")
    through(api, "c")
    assert seen == {"a": [], "b": [], "c": ["a"]}


def test_an_agent_is_told_whose_call_began_its_run(
    api: Api, seen: Seen, scripts: Any, front: Any
) -> None:
    sessions: list[Any] = []
    scripts["echo"] = lambda invocation, ctx: sessions.append(invocation.session) or {}
    me = api.get("/me").json()["principal"]["id"]
    through(api, "a")
    talk(api, "b")
    talk(api, "c", mode="async")
    say(api, "d")
    assert work_one(at=timezone.now())
    assert sessions == [Session(SESSION, me), Session(SESSION, me), None, Session(SESSION, me)]


def test_what_was_asked_directly_and_through_an_agent_is_not_mixed(
    api: Api, seen: Seen, front: Any
) -> None:
    talk(api, "direct")
    through(api, "through")
    talk(api, "direct again")
    through(api, "through again")
    assert seen["through"] == [] and seen["through again"] == ["through"]
    assert seen["direct again"] == ["direct"]


def test_an_agents_own_keys_speak_as_one_and_see_nobody_elses(
    api: Api, seen: Seen, front: Any, owner: Any
) -> None:
    def key() -> Api:
        return Api(create_key(name="Out", agent="front", by=owner, at=timezone.now()).token)

    one, two = key(), key()
    through(api, "within a run")
    talk(one, "outside")
    talk(two, "outside again")
    through(api, "within again")
    assert seen["outside"] == [] and seen["outside again"] == ["outside"]
    assert seen["within again"] == ["within a run"]
