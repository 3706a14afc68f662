"""Conversations in a browser: begun and continued by hand, read in order, narrowed in the list."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.common.ids import public_id
from apps.orgs.models import RolePermission
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from tests.runs.factories import BY, grant, make_agent
from tests.runs.test_views import titles
from tests.runs.test_views_console import fields
from tests.tenants.browsing import Browser, as_member, is_page, is_part

URL = "/agents/echo/try/"
SESSION = "ticket-4711"


@pytest.fixture
def echo(org: Any, scripts: Any) -> Agent:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo", config={"conversation": {"turns": 10}})


@pytest.fixture
def say(echo: Any, owner: Any) -> Callable[..., Run]:
    """Has `echo` say a text in the session, for the owner; the run."""

    def run(text: str, by: Any = owner, session: str | None = SESSION) -> Run:
        ask = Ask(agent="echo", input={"text": text}, session_id=session)
        return Run.objects.get(id=invoke(ask, caller=by, at=timezone.now()).run.id)

    return run


def url_of(run: Run) -> str:
    return f"/runs/{public_id('run', run.id)}/"


def typed_session(page: Any) -> str:
    found = re.search(r'name="session_id"(?: value="([^"]*)")?', page.content.decode())
    assert found is not None
    return found[1] or ""


def send(browser: Browser, page: Any, session: str, url: str = URL, **headers: str) -> Any:
    data = {**fields(page), "input": '{"text": "hello"}', "session_id": session}
    return browser.post(url, data, **headers)


# By hand


def test_a_session_can_be_left_out(browser: Browser, echo: Agent) -> None:
    page = browser.get(URL)
    assert typed_session(page) == ""
    assert send(browser, page, "").status_code == 303
    assert Run.objects.get().session_id is None


def test_a_session_is_kept_for_the_next_call(browser: Browser, echo: Agent) -> None:
    part = send(browser, browser.get(URL), SESSION, HX_Request="true")
    assert part.status_code == 200 and is_part(part)
    assert typed_session(part) == SESSION
    assert send(browser, part, SESSION).status_code == 303
    assert [run.session_id for run in Run.objects.all()] == [SESSION] * 2


@pytest.mark.parametrize("session", ["a b", "é", "a/b", "x" * 129])
def test_a_name_that_will_not_do_is_told_at_its_field(
    browser: Browser, echo: Agent, session: str
) -> None:
    page = browser.get(URL)
    for answer, kind in (
        (send(browser, page, session), is_page),
        (send(browser, page, session, HX_Request="true"), is_part),
    ):
        assert answer.status_code == 422 and kind(answer)
        assert b'id="id_session_id_error"' in answer.content
        assert typed_session(answer) == session
    assert not Run.objects.exists()


def test_the_same_form_with_another_session_is_another_run(browser: Browser, echo: Agent) -> None:
    page = browser.get(URL)
    for session in ("one", "one", "two"):
        assert send(browser, page, session).status_code == 303
    assert sorted(run.session_id or "" for run in Run.objects.all()) == ["one", "two"]


def test_the_form_says_what_a_session_means_to_the_agent(browser: Browser, echo: Agent) -> None:
    assert b"This agent is given the last 10 of yours." in browser.get(URL).content
    make_agent("plain")
    assert b"is given none of the earlier ones." in browser.get("/agents/plain/try/").content


# A run's page


def test_a_run_leads_to_its_conversation_in_order(browser: Browser, say: Any) -> None:
    first, _, apart = say("One"), say("Two"), say("Apart", session=None)
    page = browser.get(url_of(first))
    link = page.context["run"]["session_url"]
    assert f'href="{link}"'.replace("&", "&amp;").encode() in page.content
    assert titles(browser, link.partition("?")[2]) == ["One", "Two"]

    other = browser.get(url_of(apart))
    assert b"<dt>Session</dt>" not in other.content and b"Continue" not in other.content


def test_ones_own_conversation_can_be_continued(browser: Browser, say: Any) -> None:
    run = say("One")
    page = browser.get(url_of(run))
    assert b"Continue conversation" in page.content
    form = browser.get(page.context["continue_url"])
    assert typed_session(form) == SESSION and b"One" not in form.content
    send(browser, form, typed_session(form))
    assert Run.objects.filter(session_id=SESSION).count() == 2


def test_another_ones_conversation_cannot(browser: Browser, say: Any, scripts: Any) -> None:
    """The agent would be told nothing of it."""
    theirs = say("Theirs", by=BY)
    page = browser.get(url_of(theirs))
    assert SESSION.encode() in page.content and b"Continue" not in page.content

    scripts["front"] = lambda invocation, ctx: ctx.call_agent(
        agent="echo", tool="echo", input={"text": "Child"}
    )
    grant(make_agent("front"), Agent.objects.get(slug="echo"))
    url = "/agents/front/try/"
    assert send(browser, browser.get(url), SESSION, url).status_code == 303
    child = browser.get(url_of(Run.objects.get(title="Child")))
    assert b"Continue" not in child.content
    whole = child.context["run"]["session_url"].partition("?")[2]
    assert titles(browser, whole) == ["Theirs", "hello", "Child"]


def test_who_may_not_invoke_cannot_continue(org: Any, somebody: Any, say: Any) -> None:
    member = somebody("member")
    run = say("Mine", by=member)
    url = url_of(run)
    assert b"Continue" in as_member(org, member).get(url).content
    RolePermission.objects.filter(role__slug="member", permission__code="agents.invoke").delete()
    page = as_member(org, member).get(url)
    assert page.status_code == 200 and b"Continue" not in page.content


def test_run_again_has_the_session_too(browser: Browser, say: Any) -> None:
    again = browser.get(browser.get(url_of(say("One"))).context["again_url"])
    assert typed_session(again) == SESSION and b"One" in again.content


# The list


def test_the_list_is_narrowed_to_a_session(browser: Browser, say: Any) -> None:
    say("One")
    say("Two", by=BY)
    say("Three", session="another")
    say("Four", session=None)

    assert titles(browser, f"session_id={SESSION}") == ["Two", "One"]
    assert titles(browser, f"session_id={SESSION}&sort=started") == ["One", "Two"]
    assert titles(browser, f"session_id={SESSION}&q=tw") == ["Two"]
    assert titles(browser, f"q={SESSION}") == ["Two", "One"]
    page = browser.get(f"/runs/?session_id={SESSION}&sort=started")
    assert f"Session: {SESSION}".encode() in page.content
    assert page.context["any_session_url"] == "/runs/?sort=started"


def test_a_session_that_nobody_has_says_so(browser: Browser, say: Any) -> None:
    say("One")
    page = browser.get("/runs/?session_id=nobody-s")
    assert b"No run matches" in page.content and b"Clear filters" in page.content
    long = browser.get(f"/runs/?session_id={'x' * 129}")
    assert "can’t be read".encode() in long.content and long.context["runs"] == []
