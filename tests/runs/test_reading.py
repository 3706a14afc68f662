"""Who reads what runs took and gave: by the API, on pages, in files, streams and searches.

The word stands in title, input, output, error, steps and log of a run; who may only see that it
ran meets it nowhere, and who may read meets it everywhere: each place has its control.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from apps.agents.models import Agent
from apps.orgs.models import ApiKey
from apps.orgs.services import roles
from apps.runs import reading, selectors
from apps.runs.models import EventKind, Run, RunEvent
from apps.tenants import keys
from tests.orgs.conftest import AT, Api, join, owner_of, problem, token_for
from tests.runs.factories import grant, make_agent
from tests.tenants.browsing import as_member

WORD = "zanzibar"
SEEING = ("runs.view", "agents.view", "agents.invoke", "data.export")


def work(invocation: Any, ctx: Any) -> Any:
    ctx.log("info", f"thinking of {WORD}", about=WORD)
    with ctx.step("ask", {"said": WORD}):
        pass
    if "fail" in invocation.input["text"]:
        raise ValueError(WORD)
    return {"text": invocation.input["text"]}


@pytest.fixture
def blind(org: Any) -> Any:
    """Somebody who sees runs and takes files out, and may not read runs."""
    by = owner_of(org)
    role = roles.create_role(name="Blind", permissions=SEEING, by=by, at=AT)
    return join(org, role.slug)


@pytest.fixture
def run(org: Any, scripts: Any) -> dict[str, Any]:
    """A run of the owner's."""
    scripts["echo"] = work
    make_agent("echo")
    return invoke(Api(token_for(org, owner_of(org))))


def invoke(api: Api, text: str = f"go to {WORD}") -> dict[str, Any]:
    answer = api.post("/agents/echo/invoke", {"input": {"text": text}})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_api_shows_facts_and_says_which_permission_opens_the_rest(
    org: Any, blind: Any, run: dict[str, Any]
) -> None:
    theirs, viewers = Api(token_for(org, blind)), Api(token_for(org, join(org, "viewer")))
    path = f"/runs/{run['id']}"

    seen = theirs.get(path).json()
    left_out = {"title": "Run of echo", "input": None, "output": None, "withheld": "data.read"}
    assert seen == {**run, **left_out}
    assert theirs.get("/runs").json()["results"] == [seen]
    [step] = theirs.get(f"{path}/steps").json()["results"]
    assert (step["name"], step["input"], step["withheld"]) == ("ask", None, "data.read")
    refused = theirs.get(f"{path}/logs")
    assert problem(refused) == (403, "permission_denied")
    assert refused.json()["permission"] == "data.read"
    assert "viewer" in refused.json()["granted_by_roles"]

    assert viewers.get(path).json() == run
    [step] = viewers.get(f"{path}/steps").json()["results"]
    assert step["input"] == {"said": WORD} and "withheld" not in step
    assert WORD in viewers.get(f"{path}/logs").content.decode()


def test_an_error_keeps_its_code_and_loses_its_words(
    org: Any, blind: Any, run: dict[str, Any], rewrite: Any
) -> None:
    failed = invoke(Api(token_for(org, owner_of(org))), f"fail at {WORD}")
    rewrite(Run.objects.filter(id=failed["id"][4:]), error={"code": "x_failed", "message": WORD})
    seen = Api(token_for(org, blind)).get(f"/runs/{failed['id']}").json()
    assert (seen["status"], seen["error"]) == ("failed", {"code": "x_failed"})
    owners = Api(token_for(org, owner_of(org))).get(f"/runs/{failed['id']}").json()
    assert owners["error"] == {"code": "x_failed", "message": WORD}


def test_who_asked_reads_the_answer_and_not_what_was_done_for_it(
    org: Any, blind: Any, run: dict[str, Any]
) -> None:
    api = Api(token_for(org, blind))
    own = invoke(api)
    assert own["output"] == {"text": f"go to {WORD}"}
    assert api.get(f"/runs/{own['id']}").json() == own
    assert api.get(f"/runs/{own['id']}/logs").status_code == 403
    [step] = api.get(f"/runs/{own['id']}/steps").json()["results"]
    assert step["input"] is None


def test_a_key_without_the_scope_reads_nothing(org: Any, run: dict[str, Any]) -> None:
    owner = owner_of(org)
    narrow = Api(token_for(org, owner, scopes=["runs.view"]))
    assert narrow.get(f"/runs/{run['id']}").json()["output"] is None
    wide = Api(token_for(org, owner, scopes=["runs.view", "data.read"]))
    assert wide.get(f"/runs/{run['id']}").json() == run


def test_an_agents_key_reads_what_the_agent_asked_for_while_its_maker_reads_data(
    org: Any, run: dict[str, Any]
) -> None:
    owner, making = owner_of(org), [*SEEING, "agents.edit", "keys.own", "data.read"]
    role = roles.create_role(name="Builder", permissions=making, by=owner, at=AT)
    maker = join(org, role.slug)
    grant(make_agent("front"), Agent.objects.get(slug="echo"))
    scopes = ["agents.invoke", "runs.view"]
    whole, narrow = (
        Api(token_for(org, who, agent="front", scopes=scopes)) for who in (owner, maker)
    )
    made = invoke(whole)

    # What one key of the agent asked for, all its keys read: it is the same agent
    assert narrow.get(f"/runs/{made['id']}").json() == made
    assert narrow.get(f"/runs/{run['id']}").json()["output"] is None

    roles.update_role(role_id=role.id, permissions=making[:-1], by=owner, at=AT)
    seen = narrow.get(f"/runs/{made['id']}").json()
    assert (seen["title"], seen["output"], seen["withheld"]) == ("Run of echo", None, "data.read")
    [listed] = narrow.get(f"/runs?caller={made['caller']['id']}").json()["results"]
    assert WORD not in str(listed)
    assert whole.get(f"/runs/{made['id']}").json() == made


def test_who_does_not_read_data_makes_no_key_of_an_agent(org: Any, run: dict[str, Any]) -> None:
    owner, making = owner_of(org), [*SEEING, "agents.edit", "keys.own"]
    role = roles.create_role(name="Builder", permissions=making, by=owner, at=AT)
    maker, before = join(org, role.slug), ApiKey.objects.count()
    narrow = token_for(org, owner, scopes=making)

    theirs, url = Api(token_for(org, maker)), "/agents/echo/keys"
    for api in (theirs, Api(narrow)):
        refused = api.post(url, {"name": "K", "scopes": ["runs.view"]})
        assert problem(refused) == (403, "permission_denied")
        assert refused.json()["permission"] == "data.read"
    browser = as_member(org, maker)
    assert browser.post(f"{url}/", {"name": "K"}).status_code == 403
    assert b'id="new-key"' not in browser.get(f"{url}/").content
    assert ApiKey.objects.count() == before + 2
    assert Api(token_for(org, owner)).post(url, {"name": "K"}).status_code == 201


def test_no_page_shows_it_and_each_says_why(org: Any, blind: Any, run: dict[str, Any]) -> None:
    theirs, viewers = as_member(org, blind), as_member(org, join(org, "viewer"))
    for path in ("/", "/runs/", f"/runs/{run['id']}/", "/agents/echo/", "/agents/echo/runs/"):
        page = theirs.get(path)
        assert page.status_code == 200 and WORD not in page.content.decode(), path
        assert WORD in viewers.get(path).content.decode(), path
    page = theirs.get(f"/runs/{run['id']}/").content.decode()
    assert "data.read" in page and "Ask somebody who is Owner or Admin for a role with it" in page
    assert "like=" not in page  # nor does running it again bring its input
    console = theirs.get(f"/agents/echo/try/?like={run['id']}").content.decode()
    assert WORD not in console


def test_words_find_no_title_that_may_not_be_read(
    org: Any, blind: Any, run: dict[str, Any]
) -> None:
    theirs, viewers = as_member(org, blind), as_member(org, join(org, "viewer"))
    listed = f'id="{run["id"]}"'
    for path in (f"/runs/?q={WORD}", f"/search/?q={WORD}"):
        assert run["id"] not in theirs.get(path).content.decode(), path
        assert run["id"] in viewers.get(path).content.decode(), path
    by_caller = theirs.get("/runs/?q=Test").content.decode()  # as its key is called
    assert listed in by_caller and WORD not in by_caller


def test_a_file_has_the_facts(org: Any, blind: Any, run: dict[str, Any]) -> None:
    def titles(who: Any) -> list[str]:
        answer = as_member(org, who).get("/runs/export/")
        with keys.holding():
            text = b"".join(answer).decode()
        return [line[1] for line in csv.reader(io.StringIO(text, newline=""))][1:]

    assert titles(blind) == ["Run of echo"]
    assert titles(owner_of(org)) == [f"go to {WORD}"]


def test_a_stream_tells_facts_to_others_and_the_answer_to_who_asked(
    org: Any, blind: Any, run: dict[str, Any]
) -> None:
    view = selectors.get_run(Run.objects.get(id=run["id"][4:]).id)
    own = replace(view, caller=blind.actor)

    def told(by: Any, of: Any) -> dict[str, Any]:
        data = {"text": WORD, "error": {"code": "x", "message": WORD}}
        events = [RunEvent(kind=kind, data=data) for kind in EventKind.values]
        found = {event.kind: reading.told_event(by, of, event) for event in events}
        return {kind: data for kind, data in found.items() if data is not None}

    assert set(told(owner_of(org), view)) == set(EventKind.values)
    assert set(told(blind, view)) == {"status", "step"}
    assert set(told(blind, own)) == {"status", "step", "delta"}
    assert told(blind, own)["step"]["error"] == {"code": "x"}
