"""Runs in a browser: the list with its filter, and one run while it happens and after."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.ids import public_id
from apps.orgs.models import Project
from apps.orgs.services import projects
from apps.runs import spine
from apps.runs.forms import LOOK_BACK
from apps.runs.models import Run, RunLog, Step
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from tests.orgs.conftest import AT, owner_of
from tests.runs.factories import BY, admit, child_of, grant, make_agent
from tests.tenants.browsing import Browser, as_member, is_page, is_part

DAY = timedelta(days=1)


@pytest.fixture
def echo(org: Any, scripts: Any) -> Any:
    scripts["echo"] = lambda invocation, ctx: {"text": invocation.input["text"]}
    return make_agent("echo")


@pytest.fixture
def say(echo: Any) -> Callable[..., Run]:
    """Has `echo` say a text; the run."""

    def run(text: str, **fields: Any) -> Run:
        ask = Ask(agent="echo", input={"text": text}, **fields)
        return Run.objects.get(id=invoke(ask, caller=BY, at=timezone.now()).run.id)

    return run


def url_of(run: Any) -> str:
    return f"/runs/{public_id('run', run if not hasattr(run, 'id') else run.id)}/"


def titles(browser: Browser, query: str) -> list[str]:
    answer = browser.part(f"/runs/?{query}")
    assert answer.status_code == 200 and is_part(answer)
    return re.findall(r'<a class="main"[^>]*>([^<]*)</a>', answer.content.decode())


# The list


def test_the_list_is_a_page_and_a_part(browser: Browser, say: Any) -> None:
    run = say("Good morning")

    page, part = browser.get("/runs/"), browser.part("/runs/")
    boosted = browser.get("/runs/", HX_Request="true", HX_Boosted="true")

    assert is_page(page) and is_page(boosted) and is_part(part)
    for answer in (page, part):
        assert f'href="{url_of(run)}"'.encode() in answer.content
        assert b"Good morning" in answer.content and b"Succeeded" in answer.content
    assert b'id="run-results"' in part.content and b"<form" not in part.content


def test_an_empty_list_says_why_it_is_empty(browser: Browser, say: Any) -> None:
    assert b"No run yet" in browser.get("/runs/").content
    say("Here")
    nothing = browser.get("/runs/?q=nobody-said-this")
    assert b"No run matches" in nothing.content and b"Clear filters" in nothing.content
    assert b"No run yet" not in nothing.content


def test_who_may_invoke_nothing_is_offered_no_agent_to_try(
    org: Any, browser: Browser, somebody: Any
) -> None:
    offer = b"Choose an agent to try"
    assert offer in browser.get("/runs/").content
    assert offer not in as_member(org, somebody("viewer")).get("/runs/").content


def test_the_list_is_sorted_by_its_beginning(browser: Browser, say: Any) -> None:
    for text in ("One", "Two", "Three"):
        say(text)
    assert titles(browser, "") == titles(browser, "sort=x") == ["Three", "Two", "One"]
    assert titles(browser, "sort=started") == ["One", "Two", "Three"]
    assert titles(browser, "sort=started&q=tw") == ["Two"]
    own = browser.get("/agents/echo/runs/?sort=started").content.decode()
    assert own.index(">One<") < own.index(">Three<") and 'aria-sort="ascending"' in own


def test_what_a_run_cost_stands_there_once_it_is_known(browser: Browser, echo: Any) -> None:
    admission = admit(echo, title="Under way")
    run = Run.objects.filter(id=admission.run_id)
    url = url_of(admission.run_id)
    assert "<dt>Cost</dt><dd>—" in browser.get(url).content.decode()
    run.update(cost_micros=4200)
    assert "<dt>Cost</dt><dd>$0.0042" in browser.get(url).content.decode()
    assert browser.get("/runs/").context["runs"][0]["cost_micros"] == 4200


def test_each_filter_finds_what_it_says(
    browser: Browser, say: Any, org: Any, owner: Any, rewrite: Any
) -> None:
    apollo = projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    make_agent("other")
    say("One")
    old = say("Two", project="apollo")
    ago = timezone.now() - 5 * DAY
    rewrite(Run.objects.filter(id=old.id), created_at=ago, caller_id="mem_7", caller_label="Ada")
    admitted = admit(make_agent("slow"), title="Three")
    today, then = f"{timezone.now():%Y-%m-%d}", f"{timezone.now() - 5 * DAY:%Y-%m-%d}"

    assert titles(browser, "") == ["Three", "One", "Two"]
    assert titles(browser, "project=apollo") == ["Two"]
    assert titles(browser, "status=running") == ["Three"]
    assert titles(browser, "status=succeeded") == ["One", "Two"]
    assert titles(browser, "agent=echo") == ["One", "Two"]
    assert titles(browser, "agent=other") == []
    assert titles(browser, "agent=nobody") == []
    assert titles(browser, f"from={today}") == ["Three", "One"]
    assert titles(browser, f"from={then}&to={then}") == ["Two"]
    assert titles(browser, "q=tw") == ["Two"]
    assert titles(browser, "q=ADA") == ["Two"]
    assert titles(browser, f"q={public_id('run', admitted.run_id)}") == ["Three"]
    assert titles(browser, f"q=run_{'0' * 32}") == titles(browser, "q=run_x") == []
    assert titles(browser, "caller=mem_7") == ["Two"]
    assert apollo.slug == "apollo"


def test_a_filter_that_cannot_be_read_is_told_and_shows_nothing(browser: Browser, say: Any) -> None:
    say("One")
    for query in ("from=yesterday", "status=odd", "level=odd"):
        answer = browser.get(f"/runs/?{query}")
        assert answer.status_code == 200 and "can’t be read".encode() in answer.content
        assert answer.context["runs"] == []
    assert browser.get("/runs/?project=no-such").status_code == 404
    assert browser.get("/runs/?after=broken").status_code == 400


def test_words_are_searched_in_a_bounded_time(browser: Browser, say: Any, rewrite: Any) -> None:
    run = say("Long ago")
    rewrite(Run.objects.filter(id=run.id), created_at=timezone.now() - LOOK_BACK - DAY)
    first = f"{timezone.now() - LOOK_BACK - 2 * DAY:%Y-%m-%d}"

    assert titles(browser, "q=ago") == []
    assert b"last 30 days" in browser.get("/runs/?q=ago").content
    assert titles(browser, f"q=ago&from={first}") == ["Long ago"]


def test_runs_that_agents_ask_for_are_shown_on_request(browser: Browser, echo: Any) -> None:
    parent = make_agent("concierge")
    grant(parent, echo)
    root = admit(parent, title="Root")
    child_of(root.hold, echo, title="Child")

    assert titles(browser, "") == ["Root"]
    assert sorted(titles(browser, "level=all")) == ["Child", "Root"]
    page = browser.get("/runs/?agent=echo")
    assert page.context["runs"] == [] and b"Show those too" in page.content
    shown = browser.get(page.context["all_url"]).context["runs"]
    assert [(row["title"], row["is_child"]) for row in shown] == [("Child", True)]


def test_the_pages_of_the_list_keep_its_filter(browser: Browser, echo: Any) -> None:
    for n in range(60):
        admit(echo, title=f"Paged {n}")

    first = browser.get("/runs/?q=paged&status=running")
    assert first.context["newer_url"] is None
    assert first.context["older_url"].startswith("?q=paged&status=running&after=")
    second = browser.get(f"/runs/{first.context['older_url']}")

    ids = [row["id"] for page in (first, second) for row in page.context["runs"]]
    assert len(ids) == len(set(ids)) == 60
    assert second.context["newer_url"].startswith("?q=paged&status=running&before=")


def test_links_carry_the_selected_project_on(browser: Browser, say: Any, org: Any) -> None:
    slug = Project.objects.get(is_default=True).slug
    run = say("One")
    row = browser.get(f"/runs/?project={slug}").context["runs"][0]
    assert row["url"] == f"{url_of(run)}?project={slug}"
    assert row["agent_url"] == f"/agents/echo/?project={slug}"


def test_more_runs_cost_no_more_queries(browser: Browser, echo: Any) -> None:
    browser.get("/runs/")

    def queries(upto: int) -> int:
        while Run.objects.count() < upto:
            admit(echo)
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/runs/?agent=echo&caller=key_1").status_code == 200
        return len(seen)

    assert queries(5) == queries(40) <= 16


# One run


def test_a_run_is_a_page_with_all_that_happened(browser: Browser, scripts: Any, org: Any) -> None:
    def work(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("plan", {"for": "parcel"}):
            ctx.log("warning", "Careful <now>", weight=3)
        return {"found": ctx.call_agent(agent="echo", tool="echo", input={"text": "hi"})["text"]}

    scripts["finder"] = work
    scripts["echo"] = lambda invocation, ctx: {"text": invocation.input["text"]}
    finder, echo = make_agent("finder"), make_agent("echo")
    grant(finder, echo)
    ask = Ask(agent="finder", input={"question": "Where is it?"})
    run = invoke(ask, caller=BY, at=timezone.now()).run

    page = browser.get(url_of(run))

    assert is_page(page)
    html = page.content.decode()
    for text in (
        "Where is it?",
        "plan",
        "Careful &lt;now&gt;",
        "weight=3",
        "echo.echo",
        '"hi"',
    ):
        assert text in html, text
    assert "Careful <now>" not in html
    child = Run.objects.get(parent_id=run.id)
    assert html.count(f'href="{url_of(child)}"') == 4  # trace, details, step, costs
    assert [row["span"].name for row in page.context["trace"]["spans"]] == [
        "finder",
        "plan",
        "echo",
    ]
    assert [(s["name"], s["kind"], s["status"]) for s in page.context["steps"]] == [
        ("plan", "work", "succeeded"),
        ("echo.echo", "agent call", "succeeded"),
    ]
    assert "hx-trigger" not in html.partition('id="run-live"')[2][:200]

    below = browser.get(url_of(child))
    assert below.context["kin"]["parent"] == {"name": "finder", "url": url_of(run)}
    spans = below.context["trace"]["spans"]
    assert [row["span"].name for row in spans if row["span"].is_current] == ["echo"]


def test_an_open_run_is_followed_until_it_is_over(browser: Browser, echo: Any) -> None:
    admission = admit(echo, title="Under way")
    url = url_of(admission.run_id)

    page = browser.get(url)
    assert is_page(page) and b"every 5s" in page.content
    assert b'<meta http-equiv="refresh" content="5">' in page.content
    assert f'sse-connect="{url}events/" sse-close="end"'.encode() in page.content
    poll_url = page.context["poll_url"]
    assert poll_url.startswith(f"{url}?seen=")

    assert browser.part(f"{url}?seen=other").status_code == 200
    Step.objects.create(
        run_id=admission.run_id,
        attempt=1,
        ordinal=1,
        kind="work",
        name="New step",
        started_at=timezone.now(),
    )
    changed = browser.part(poll_url)
    assert changed.status_code == 200 and is_part(changed)
    assert b"New step" in changed.content and b'id="run-status" hx-swap-oob' in changed.content

    ending = spine.Ending("succeeded", output={"text": "done"})  # type: ignore[arg-type]
    assert spine.close_run(admission.hold, ending, at=timezone.now()) == "ours"
    over = browser.part(changed.context["poll_url"])
    assert over.status_code == 286 and is_part(over)
    assert b"Succeeded" in over.content and b"every 5s" not in over.content
    assert b"Cancel run" not in over.content
    whole = browser.get(url)
    assert whole.status_code == 200 and b"http-equiv" not in whole.content
    assert b"sse-connect" not in whole.content


def test_a_poll_that_finds_nothing_new_is_sent_nothing(
    browser: Browser, echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.runs.views.detail.BEAT", 10**9)
    poll_url = browser.get(url_of(admit(echo).run_id)).context["poll_url"]
    answer = browser.part(poll_url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert is_page(browser.get(poll_url))  # whoever opens that address gets a page


def test_a_run_is_cancelled_with_all_below_it(browser: Browser, echo: Any, events: Any) -> None:
    parent = make_agent("concierge")
    grant(parent, echo)
    root = admit(parent)
    child = child_of(root.hold, echo)
    url = url_of(root.run_id)
    page = browser.get(url)
    assert b"This run and 1 open run below it end now." in page.content

    answer = browser.post(f"{url}cancel/")

    assert (answer.status_code, answer["Location"]) == (303, url)
    assert set(Run.objects.filter(id__in=[root.run_id, child.run_id]).values_list("status")) == {
        ("cancelled",)
    }
    assert [event[0] for event in events()] == ["runs.run.cancelled"]
    after = browser.get(url)
    assert b"Somebody cancelled it" in after.content and b"Cancel run" not in after.content
    again = browser.post(f"{url}cancel/")
    assert again.status_code == 409 and is_page(again) and b"nothing left" in again.content


def test_a_viewer_sees_that_cancelling_is_not_for_them(org: Any, somebody: Any, echo: Any) -> None:
    viewer = as_member(org, somebody("viewer"))
    run = admit(echo)
    page = viewer.get(url_of(run.run_id))
    assert b"Your role may not cancel runs" in page.content and b"<form" not in _main(page)
    assert b"Run again" not in page.content
    refused = viewer.post(f"{url_of(run.run_id)}cancel/")
    assert refused.status_code == 403 and b"runs.cancel" in refused.content
    assert Run.objects.get(id=run.run_id).status == "running"


def _main(page: Any) -> bytes:
    found: bytes = page.content.partition(b"<main")[2].partition(b"</main>")[0]
    return found


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("denied", "agent_suspended", b"Whoever may edit agents can activate it again"),
        ("timed_out", "deadline", b"longer than the agent"),
        ("failed", "lost", b"also after it was tried again"),
        ("cancelled", "agent_stopped", b"kill switch"),
    ],
)
def test_a_run_says_why_it_ended(
    browser: Browser, echo: Any, status: str, reason: str, said: bytes
) -> None:
    if status == "denied":
        echo.suspend(note="")
        echo.save()
        run_id = admit(echo).run_id
    else:
        hold = admit(echo).hold
        ending = spine.Ending(status, reason=reason)  # type: ignore[arg-type]
        assert spine.close_run(hold, ending, at=timezone.now()) == "ours"
        run_id = hold.run_id
    page = browser.get(url_of(run_id))
    assert page.context["run"]["status"] == status and said in page.content


def test_much_data_is_cut_and_many_lines_are_few(browser: Browser, say: Any) -> None:
    run = say("x" * 50_000)
    RunLog.objects.bulk_create(
        RunLog(run=run, attempt=1, at=timezone.now(), message=f"line {n}") for n in range(250)
    )
    page = browser.get(url_of(run))
    assert b"more characters. The API gives all of it." in page.content
    assert len(page.content) < 250_000
    assert len(page.context["logs"]) == 200 and b"The first 200 lines" in page.content


def test_a_large_tree_costs_no_more_queries(browser: Browser, echo: Any) -> None:
    parent = make_agent("concierge")
    grant(parent, echo)
    root = admit(parent)
    browser.get(url_of(root.run_id))

    def queries(upto: int) -> int:
        for n in range(Run.objects.count(), upto):
            child_of(root.hold, echo, ordinal=n)
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(url_of(root.run_id)).status_code == 200
        return len(seen)

    assert queries(3) == queries(30) <= 16


def test_a_foreign_run_does_not_exist(browser: Browser, other_org: Any, scripts: Any) -> None:
    scripts["echo"] = lambda invocation, ctx: {"text": ""}
    with keys.holding(other_org.schema, other_org.id):
        theirs = admit(make_agent("echo")).run_id
    for ref in (public_id("run", theirs), f"run_{'0' * 32}", "run_x", "echo"):
        assert browser.get(f"/runs/{ref}/").status_code == 404
        assert browser.post(f"/runs/{ref}/cancel/").status_code == 404
    assert titles(browser, f"q={public_id('run', theirs)}") == []
    with keys.holding(other_org.schema, other_org.id):
        assert Run.objects.get(id=theirs).status == "running"
        own = as_member(other_org, owner_of(other_org))
    assert own.get(url_of(theirs)).status_code == 200
