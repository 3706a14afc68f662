"""Agents in a browser: the list, a new one, and one agent's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services import agents
from apps.agents.services.changing import version_of
from apps.common.ids import public_id
from apps.orgs.services import projects
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from tests.agents.factories import make_agent, make_desk
from tests.orgs.conftest import AT, owner_of
from tests.tenants.browsing import Browser, as_member, is_page, is_part


@pytest.fixture
def make(org: Any, owner: Any) -> Callable[..., Agent]:
    return lambda **fields: make_agent(owner, **fields)


def say(agent: Agent, text: str, owner: Any, **fields: Any) -> Any:
    ask = Ask(agent=agent.slug, input={"text": text}, **fields)
    return invoke(ask, caller=owner, at=timezone.now()).run


# The list


def test_the_list_is_a_page_and_a_part(browser: Browser, make: Any, owner: Any) -> None:
    run = say(make(), "hello", owner)
    make(name="Idle")

    page, part = browser.get("/agents/"), browser.part("/agents/")
    boosted = browser.get("/agents/", HX_Request="true", HX_Boosted="true")

    assert is_page(page) and is_page(boosted) and is_part(part)
    assert b'id="agent-results"' in part.content and b"<form" not in part.content
    for answer in (page, part):
        html = answer.content.decode()
        assert '<a class="main" href="/agents/echo/">Echo</a>' in html
        assert f'href="/runs/{public_id("run", run.id)}/"' in html
    rows = {row["slug"]: row for row in page.context["agents"]}
    assert (rows["echo"]["last"]["status"], rows["echo"]["tools"]) == ("succeeded", 1)
    assert rows["idle"]["last"] is None


def test_an_empty_list_says_why_it_is_empty(org: Any, browser: Browser, somebody: Any) -> None:
    nothing = browser.get("/agents/")
    assert b"No agent here yet" in nothing.content and b'href="/agents/new/"' in nothing.content
    viewer = as_member(org, somebody("viewer")).get("/agents/")
    assert b"can register one" in viewer.content and b'href="/agents/new/"' not in viewer.content
    unmatched = browser.get("/agents/?q=zzz")
    assert b"No agent matches" in unmatched.content and b"Clear filters" in unmatched.content


def test_the_filter_finds_by_name_status_and_project(
    browser: Browser, make: Any, owner: Any
) -> None:
    apollo = projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    make()
    make(name="Draft", status="draft", project=apollo)
    gone = make(name="Gone")
    agents.retire_agent(agent_id=gone.id, actor=owner.actor, at=AT)

    def named(query: str) -> list[str]:
        answer = browser.get(f"/agents/?{query}")
        return sorted(row["slug"] for row in answer.context["agents"])

    assert named("") == ["draft", "echo"]
    assert named("q=ECH") == ["echo"]
    assert named("status=draft") == ["draft"]
    assert named("status=retired") == ["gone"]
    assert named("status=odd") == ["draft", "echo"]
    assert named("project=apollo") == ["draft"]
    assert named("project=apollo&status=active") == []
    assert browser.get("/agents/?project=no-such").status_code == 404
    row = browser.get("/agents/?project=apollo").context["agents"][0]
    assert row["url"] == "/agents/draft/?project=apollo"


# One agent


def test_each_tab_is_a_page_that_marks_itself(browser: Browser, make: Any) -> None:
    make()
    tabs = browser.get("/agents/echo/").context["agent_tabs"]
    assert [tab["label"] for tab in tabs] == [
        "Overview",
        "Try it",
        "Tools",
        "Runs",
        "Grants",
        "Keys",
        "Manifests",
        "Settings",
    ]
    for tab in tabs:
        page = browser.get(tab["url"])
        assert is_page(page)
        assert [t["label"] for t in page.context["agent_tabs"] if t["current"]] == [tab["label"]]


@pytest.mark.parametrize(
    "tab", ["try/", "tools/", "runs/", "grants/", "keys/", "manifests/", "settings/"]
)
def test_a_tab_is_whole_or_in_part(browser: Browser, make: Any, tab: str) -> None:
    make()
    assert is_page(browser.get(f"/agents/echo/{tab}"))
    assert is_part(browser.part(f"/agents/echo/{tab}"))


def test_the_overview_shows_what_it_is_and_did(browser: Browser, make: Any, owner: Any) -> None:
    agent = make(purpose="Repeats <things>.")
    for n in range(7):
        say(agent, f"Saying {n}", owner)
    page = browser.get("/agents/echo/")
    assert is_page(page) and b"Repeats &lt;things&gt;." in page.content
    assert [run["title"] for run in page.context["runs"]] == [
        f"Saying {n}" for n in (6, 5, 4, 3, 2)
    ]
    assert b"Reads only" in page.content and b"additionalProperties" in page.content


def test_the_runs_of_an_agent_are_all_of_its_own(browser: Browser, make: Any, owner: Any) -> None:
    echo, other = make(), make(name="Other")
    say(echo, "Mine", owner)
    say(other, "Theirs", owner)
    part = browser.part("/agents/echo/runs/")
    assert b"Mine" in part.content and b"Theirs" not in part.content
    make(name="New one")
    assert b"It has not run yet" in browser.get("/agents/new-one/runs/").content


def test_an_agent_called_new_goes_by_its_id(browser: Browser, make: Any) -> None:
    agent = make(name="New", slug="new")
    row = browser.get("/agents/").context["agents"][0]
    assert row["url"] == f"/agents/{public_id('agt', agent.id)}/"
    assert browser.get(row["url"]).context["agent"] == agent


def test_a_foreign_agent_does_not_exist(browser: Browser, other_org: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = make_agent(owner_of(other_org), name="Secret desk")
    for ref in ("secret-desk", public_id("agt", theirs.id), f"agt_{'0' * 32}"):
        for tab in ("", "try/", "tools/", "runs/", "grants/", "manifests/", "settings/"):
            assert browser.get(f"/agents/{ref}/{tab}").status_code == 404
    assert browser.get("/agents/").context["agents"] == []
    assert as_member(other_org, owner_of(other_org)).get("/agents/secret-desk/").status_code == 200


def test_manifests_are_listed_and_shown(browser: Browser, make: Any, owner: Any) -> None:
    agent = make()
    agents.update_agent(agent_id=agent.id, fields={"name": "Parrot"}, actor=owner.actor, at=AT)
    listing = browser.get("/agents/echo/manifests/")
    assert [row["manifest"].version for row in listing.context["manifests"]] == [2, 1]
    former, present = (browser.get(f"/agents/echo/manifests/{n}/") for n in (1, 2))
    assert b"Former" in former.content and b"Current" in present.content
    assert b"Echo" in former.content and b"What it changed" not in former.content
    changed = present.content.decode()
    assert "What it changed" in changed and "<del>Echo</del>" in changed
    assert "<ins>Parrot</ins>" in changed and 'href="/agents/echo/manifests/1/"' in changed
    assert b'href="/agents/echo/manifests/2/"' in former.content
    for version in (3, 2**40):
        assert browser.get(f"/agents/echo/manifests/{version}/").status_code == 404


# Settings and states


def settings_of(agent: Agent, **changes: str) -> dict[str, str]:
    return {
        "version": version_of(agent),
        "name": agent.name,
        "purpose": agent.purpose,
        "project": agent.project.slug,
        "accountable": public_id("mem", agent.accountable_id),
        "timeout_seconds": str(agent.timeout_seconds),
        **agent.config,
        **changes,
    }


def test_settings_are_changed_without_scripts(
    browser: Browser, make: Any, somebody: Any, events: Any
) -> None:
    agent = make()
    colleague = somebody("member")
    before = len(events())
    changes = {"name": "Parrot", "accountable": public_id("mem", colleague.member_id)}

    answer = browser.post(
        "/agents/echo/settings/", settings_of(agent, skill="calculator", **changes)
    )

    assert (answer.status_code, answer["Location"]) == (303, "/agents/echo/settings/")
    agent = Agent.objects.get()
    assert (agent.name, agent.config) == ("Parrot", {"skill": "calculator"})
    assert agent.accountable_id == colleague.member_id
    assert [event[0] for event in events()[before:]] == ["agents.agent.updated"]


def test_a_newer_change_is_never_overwritten(browser: Browser, make: Any, owner: Any) -> None:
    agent = make()
    sent = settings_of(agent, name="Mine")
    agents.update_agent(agent_id=agent.id, fields={"name": "Theirs"}, actor=owner.actor, at=AT)

    page = browser.post("/agents/echo/settings/", sent)
    part = browser.post("/agents/echo/settings/", sent, HX_Request="true")

    assert is_page(page) and is_part(part)
    for answer in (page, part):
        assert answer.status_code == 422
        assert b"has changed" in answer.content and b'value="Mine"' in answer.content
    assert Agent.objects.get().name == "Theirs"
    no_version = {**sent, "version": ""}
    assert browser.post("/agents/echo/settings/", no_version).status_code == 422


def test_an_agent_is_suspended_and_activated(browser: Browser, make: Any, owner: Any) -> None:
    make()
    answer = browser.post("/agents/echo/suspend/", {"note": "Odd answers"})
    assert (answer.status_code, answer["Location"]) == (303, "/agents/echo/")
    assert Agent.objects.get().status == "suspended"
    page = browser.get("/agents/echo/")
    assert b"Odd answers" in page.content and b"Activate agent" not in page.content
    assert b"Activate agent" in browser.get("/agents/echo/settings/").content
    assert browser.post("/agents/echo/suspend/").status_code == 409

    browser.post("/agents/echo/activate/")
    assert Agent.objects.get().status == "active"
    too_long = browser.post("/agents/echo/suspend/", {"note": "x" * 201})
    assert is_page(too_long) and too_long.status_code == 422
    assert Agent.objects.get().status == "active"


def test_the_kill_switch_says_what_it_does_and_does_it(
    browser: Browser, make: Any, owner: Any
) -> None:
    agent = make()
    for text in ("one", "two"):
        say(agent, text, owner, mode="async")
    assert b"2 open runs end now" in browser.get("/agents/echo/").content

    answer = browser.post("/agents/echo/kill/")

    assert (answer.status_code, answer["Location"]) == (303, "/agents/echo/")
    assert set(Run.objects.values_list("status", "reason")) == {("cancelled", "agent_stopped")}
    page = browser.get("/agents/echo/")
    assert b"2 runs were ended." in page.content and b"Suspended." in page.content
    assert b"Kill switch" not in page.content


def test_retiring_asks_for_the_slug_and_keeps_the_record(
    browser: Browser, make: Any, owner: Any
) -> None:
    agent = make()
    run = say(agent, "hello", owner)
    wrong = browser.post("/agents/echo/retire/", {"slug": "other"})
    assert is_page(wrong) and wrong.status_code == 422 and "exactly" in wrong.content.decode()
    assert Agent.objects.get().status == "active"

    answer = browser.post("/agents/echo/retire/", {"slug": "echo"})

    assert (answer.status_code, answer["Location"]) == (303, "/agents/")
    assert browser.get("/agents/echo/").status_code == 404
    by_id = f"/agents/{public_id('agt', agent.id)}/"
    for tab in ("", "try/", "tools/", "runs/", "grants/", "manifests/", "settings/"):
        page = browser.get(f"{by_id}{tab}")
        assert is_page(page) and b"Retired." in page.content
    run_page = browser.get(f"/runs/{public_id('run', run.id)}/")
    assert run_page.context["run"]["agent_url"] == by_id
    sent = settings_of(Agent.objects.get(), name="Back again")
    assert browser.post(f"{by_id}settings/", sent).status_code == 422
    assert browser.post(f"{by_id}activate/").status_code == 409
    agent.refresh_from_db()
    assert (agent.name, agent.status) == ("Echo", "retired")


def test_a_new_signing_secret_is_shown_once(browser: Browser, owner: Any) -> None:
    agent = make_desk(owner)
    former = agents.find_signing_secret(agent)
    answer = browser.post("/agents/order-desk/secret/")
    present = agents.find_signing_secret(agent)
    assert former != present and present is not None
    assert present.encode() in answer.content and answer["Cache-Control"] == "no-store"
    assert b"counts no more" in answer.content


def test_a_builtin_agent_has_no_signing_secret(browser: Browser, make: Any) -> None:
    make()
    assert browser.post("/agents/echo/secret/").status_code == 409
    assert b"Signing secret" not in browser.get("/agents/echo/settings/").content


def test_a_viewer_reads_and_is_offered_no_form(org: Any, somebody: Any, make: Any) -> None:
    make()
    viewer = as_member(org, somebody("viewer"))
    for tab in ("", "tools/", "tools/echo/", "runs/", "grants/", "manifests/", "settings/"):
        page = viewer.get(f"/agents/echo/{tab}")
        main = page.content.partition(b"<main")[2].partition(b"</main>")[0]
        assert is_page(page) and b"<form" not in main, tab
    assert viewer.get("/agents/new/").status_code == 403
