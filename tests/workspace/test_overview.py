"""An org's first page: figures, charts, what waits for whoever looks, the check list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.models import Agent, AgentStatus
from apps.agents.services import agents as agent_services
from apps.common.ids import public_id
from apps.orgs.models import ApiKey, Member
from apps.orgs.services import invitations, projects
from apps.orgs.services.keys import create_key
from apps.orgs.services.roles import create_role
from apps.tenants import keys
from tests.orgs.conftest import AT, join, owner_of
from tests.runs.factories import make_agent
from tests.runs.history import past_run, past_runs
from tests.tenants.browsing import Browser, as_member, is_page, is_part

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
def owner(org: Any) -> Any:
    return owner_of(org)


@pytest.fixture
def browser(org: Any, owner: Any) -> Browser:
    return as_member(org, owner)


@pytest.fixture
def echo(org: Any) -> Agent:
    return make_agent("echo")


def figures(page: Any) -> dict[str, tuple[str, str, str]]:
    return {one.label: (one.value, one.change, one.tone) for one in page.context["figures"]}


def needs(page: Any) -> list[str]:
    return [need.title for need in page.context["needs"]]


# The page


def test_the_overview_is_a_page_a_part_and_a_page_again(browser: Browser, echo: Agent) -> None:
    past_run(echo, timezone.now() - MINUTE)

    page, part = browser.get("/?range=7d"), browser.part("/?range=7d")
    boosted = browser.get("/?range=7d", HX_Request="true", HX_Boosted="true")

    assert is_page(page) and is_page(boosted) and is_part(part)
    for answer in (page, part):
        assert b'id="overview-live"' in answer.content and b'id="latency"' in answer.content
    # What asks again stands beside the part that it replaces, which keeps its links their own.
    assert b'hx-trigger="every 30s"' in page.content
    assert b"data-live" in page.content and b"data-live" not in part.content
    assert b'hx-get="/?range=7d"' in page.content


def test_the_figures_are_held_against_the_time_before(browser: Browser, echo: Agent) -> None:
    now = timezone.now()
    for ms in (100, 200, 300, 400):
        past_run(echo, now - MINUTE, ms=ms, cost_micros=30_000)
    past_run(echo, now - MINUTE, "failed", ms=200)
    for _ in range(2):
        past_run(echo, now - DAY - 5 * MINUTE, ms=500, cost_micros=40_000)

    page = browser.get("/")

    assert figures(page) == {
        "Runs": ("5", "+150%", ""),
        "Latency p50": ("200 ms", "−300 ms", "ok"),
        "Success rate": ("80%", "−20 pt", "bad"),
        "Spend": ("$0.12", "+50%", ""),
    }
    assert "vs. the day before" in page.content.decode()
    assert 'role="img" aria-label="Runs in the last 24 hours: 5, of which' in page.content.decode()


def test_the_range_is_in_the_address(browser: Browser, echo: Agent) -> None:
    past_run(echo, timezone.now() - 3 * DAY)

    def shown(query: str) -> tuple[str, str]:
        page = browser.get(f"/{query}")
        here = [one["label"] for one in page.context["ranges"] if one["current"]]
        return here[0], figures(page)["Runs"][0]

    assert shown("") == shown("?range=24h") == shown("?range=century") == ("24 h", "0")
    assert shown("?range=7d") == ("7 d", "1")
    assert shown("?range=30d") == ("30 d", "1")
    assert b"No run in the last 24 hours." in browser.get("/").content


def test_a_project_narrows_all_of_it(browser: Browser, echo: Agent, owner: Any) -> None:
    apollo = projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    other = make_agent("other")
    Agent.objects.filter(pk=other.pk).update(project=apollo)
    past_run(echo, timezone.now() - MINUTE, "failed")
    past_run(other, timezone.now() - MINUTE, project_id=apollo.id)

    page = browser.get("/?project=apollo")

    assert figures(page)["Runs"][0] == "1"
    assert [agent["name"] for agent in page.context["agents"]] == ["Other"]
    assert [run["agent"] for run in page.context["runs"]] == ["other"]
    assert needs(page) == []
    assert all(one["url"].startswith("/?project=apollo&range=") for one in page.context["ranges"])
    assert figures(browser.get("/"))["Runs"][0] == "2"
    assert needs(browser.get("/")) == ["1 run failed"]
    assert browser.get("/?project=no-such").status_code == 404


def test_agents_stand_by_what_they_spent(browser: Browser) -> None:
    for n in range(7):
        past_runs(make_agent(f"a{n}"), [timezone.now() - MINUTE] * (n + 1), cost_micros=10 - n)
    page = browser.get("/")
    shown = [(agent["name"], agent["figures"].spend_micros) for agent in page.context["agents"]]
    assert shown == [("A5", 30), ("A4", 30), ("A6", 28), ("A3", 28), ("A2", 24)]
    assert [agent["share"] for agent in page.context["agents"]] == [100, 100, 93.3, 93.3, 80]
    assert b"Agents by spend" in page.content


def test_agents_that_spent_nothing_stand_by_their_runs(browser: Browser) -> None:
    for n in range(2):
        past_runs(make_agent(f"a{n}"), [timezone.now() - MINUTE] * (n + 1))
    page = browser.get("/")
    shown = [(agent["name"], agent["share"]) for agent in page.context["agents"]]
    assert shown == [("A1", 100), ("A0", 50)]
    assert b"Agents by runs" in page.content


def test_the_latest_runs_are_those_from_outside(browser: Browser, echo: Agent) -> None:
    now = timezone.now()
    roots = [past_run(echo, now - n * MINUTE) for n in range(10)]
    past_run(echo, now, parent=roots[0], root_id=roots[0].id)
    page = browser.get("/")
    assert [run["created_at"] for run in page.context["runs"]] == [
        run.created_at for run in roots[:8]
    ]
    assert figures(page)["Runs"][0] == "11"


def test_nothing_of_another_org_is_shown(org: Any, other_org: Any, browser: Browser) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = make_agent("theirs")
        past_run(theirs, timezone.now() - MINUTE, "failed")
        own = as_member(other_org, owner_of(other_org)).get("/")
    page = browser.get("/")
    assert page.context["runs"] == [] and b"Theirs" not in page.content
    assert b"Theirs" in own.content and needs(own) == ["1 run failed"]


def test_more_runs_and_agents_cost_no_more_queries(browser: Browser, echo: Agent) -> None:
    def queries(upto: int) -> int:
        for n in range(upto):
            past_run(make_agent(f"q{upto}-{n}"), timezone.now() - MINUTE)
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/").status_code == 200
        return len(seen)

    queries(1)
    assert queries(2) == queries(12) <= 20


# What needs whoever looks


def test_nothing_waits(browser: Browser, echo: Agent) -> None:
    past_run(echo, timezone.now() - MINUTE)
    page = browser.get("/")
    assert needs(page) == [] and b"Nothing waits for you" in page.content


def test_what_waits_leads_to_where_it_is_seen_to(org: Any, browser: Browser, owner: Any) -> None:
    now = timezone.now()
    agent = make_agent("echo")
    orphan = make_agent("orphan", runtime="builtin", config={"skill": "echo"})
    for status in ("failed", "failed", "timed_out", "denied", "cancelled"):
        past_run(agent, now - MINUTE, status)
    agent_services.suspend_agent(agent_id=agent.id, note="It shouted.", actor=owner.actor, at=now)
    gone = Member.objects.get(id=join(org, "member", name="Gone").member_id)
    Agent.objects.filter(pk=orphan.pk).update(accountable=gone)
    Member.objects.filter(pk=gone.pk).update(left_at=now)
    create_key(name="Nightly", by=owner, at=now, expires_at=now + timedelta(days=5))
    create_key(name="Later", by=owner, at=now, expires_at=now + timedelta(days=50))
    invitations.invite(email="new@x.example", role="viewer", by=owner, at=now)

    page = browser.get("/")

    titles = needs(page)
    assert titles[:3] == ["2 runs failed", "1 run took too long", "1 run was denied"]
    assert set(titles[3:5]) == {"Echo is suspended", "Nobody answers for Orphan"}
    assert titles[5].startswith("The key Nightly ends ")
    assert titles[6:] == ["1 invitation waits for an answer"]
    for need in page.context["needs"]:
        assert browser.get(need.url).status_code == 200
    assert b"It shouted." in page.content


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("admin", ["1 run failed", "Echo is suspended", "1 invitation waits for an answer"]),
        ("member", ["1 run failed", "Echo is suspended"]),
        ("viewer", []),
    ],
)
def test_only_what_a_role_can_act_on_waits_for_it(
    org: Any, owner: Any, role: str, told: list[str]
) -> None:
    agent, now = make_agent("echo"), timezone.now()
    past_run(agent, now - MINUTE, "failed")
    Agent.objects.filter(pk=agent.pk).update(status=AgentStatus.SUSPENDED)
    create_key(name="Nightly", by=owner, at=now, expires_at=now + timedelta(days=5))
    invitations.invite(email="new@x.example", role="viewer", by=owner, at=now)
    somebody = join(org, role)

    page = as_member(org, somebody).get("/")

    assert [title for title in needs(page) if not title.startswith("The key")] == told
    assert any(title.startswith("The key") for title in needs(page)) == (role == "admin")
    assert (b'href="/agents/new/"' in page.content) == (role != "viewer")
    assert figures(page)["Runs"][0] == "1"


@pytest.mark.parametrize(
    ("codes", "sees"),
    [
        (["members.view"], (False, False)),
        (["agents.view", "agents.edit"], (False, False)),
        (["runs.view"], (True, False)),
        (["runs.view", "agents.view"], (True, True)),
    ],
)
def test_a_role_sees_the_runs_and_agents_that_it_may(
    org: Any, owner: Any, codes: list[str], sees: tuple[bool, bool]
) -> None:
    run = past_run(make_agent("secretive"), timezone.now() - MINUTE, cost_micros=30_000)
    role = create_role(name="Probe", permissions=codes, by=owner, at=AT)
    somebody = as_member(org, join(org, role.slug))

    for answer in (somebody.get("/"), somebody.part("/")):
        text = answer.content.decode()
        assert (public_id("run", run.id) in text, ">Secretive</a>" in text) == sees
        assert ("Latest runs" in text, "Agents by spend" in text) == sees
        assert ("Your role may not see runs" in text, "$0.03" in text) == (not sees[0], sees[0])
        assert "What needs you" in text
        assert ("figures" in answer.context) == sees[0]


def test_agents_that_need_somebody_are_named_to_who_may_see_them(org: Any, owner: Any) -> None:
    make_agent("stopped", status="suspended")

    def told(*codes: str) -> list[str]:
        role = create_role(name=f"Probe {len(codes)}", permissions=codes, by=owner, at=AT)
        return needs(as_member(org, join(org, role.slug)).get("/"))

    assert told("agents.edit") == []
    assert told("agents.edit", "agents.view") == ["Stopped is suspended"]


def test_many_stopped_agents_are_told_as_many(browser: Browser) -> None:
    for n in range(5):
        make_agent(f"s{n}", status="suspended")
    past_run(Agent.objects.first() or make_agent("x"), timezone.now() - MINUTE)
    assert len(needs(browser.get("/"))) == 4


# The way there


def test_an_empty_org_begins_with_the_check_list(browser: Browser, org: Any, owner: Any) -> None:
    first = browser.get("/")
    steps = first.context["beginning"]["steps"]
    assert [(step.title, step.done) for step in steps] == [
        ("Create a project", False),
        ("Register an agent", False),
        ("Make an API key", False),
        ("Run it", False),
        ("Invite a colleague", False),
    ]
    assert (
        b'<svg class="chart-plot"' not in first.content and b'id="beginning" open' in first.content
    )
    for step in steps:
        assert browser.get(step.url.partition("#")[0]).status_code == 200

    projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    create_key(name="Import", by=owner, at=AT)
    agent = make_agent("echo")
    assert [step.done for step in _steps(browser)] == [True, True, True, False, False]
    past_run(agent, timezone.now() - MINUTE)
    folded = browser.get("/")
    assert b'id="beginning">' in folded.content and b"4 of 5 done" in folded.content
    join(org, "viewer")
    done = browser.get("/")
    assert done.context["beginning"] is None and b"Getting started" not in done.content
    assert ApiKey.objects.count() == 1


def _steps(browser: Browser) -> list[Any]:
    return list(browser.get("/").context["beginning"]["steps"])


@pytest.mark.parametrize(("role", "steps"), [("admin", 5), ("member", 4), ("viewer", 0)])
def test_a_step_is_shown_to_who_can_take_it(org: Any, role: str, steps: int) -> None:
    page = as_member(org, join(org, role)).get("/")
    shown = page.context["beginning"]
    assert len(shown["steps"] if shown else []) == steps
    assert (b"No run yet" in page.content) == (role == "viewer")
