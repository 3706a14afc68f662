"""One run's page: deep links into it, what its tree cost, and who can mend what failed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.runtimes.base import WorkFailed
from apps.common.ids import public_id
from apps.runs import spine
from apps.runs.models import Run, Step
from apps.runs.services.invoke import Ask, invoke
from apps.runs.wording import filter_words, mending, status_label
from tests.runs.factories import BY, admit, grant, make_agent
from tests.runs.governing import in_force
from tests.tenants.browsing import Browser, is_part


@pytest.fixture
def tree(org: Any, scripts: Any) -> Run:
    """A run of `finder` that planned and asked `echo`."""

    def work(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("plan"):
            ctx.log("info", "Chosen", tools=["echo"], why="fits")
        return {"found": ctx.call_agent(agent="echo", tool="echo", input={"text": "hi"})["text"]}

    scripts["finder"], scripts["echo"] = work, lambda invocation, ctx: {"text": "hi"}
    finder, echo = make_agent("finder"), make_agent("echo")
    grant(finder, echo)
    ask = Ask(agent="finder", input={"question": "Where?"})
    return Run.objects.get(id=invoke(ask, caller=BY, at=timezone.now()).run.id)


def url_of(run_id: Any) -> str:
    return f"/runs/{public_id('run', run_id)}/"


def test_each_step_has_an_address_that_the_trace_leads_to(browser: Browser, tree: Run) -> None:
    html = browser.get(url_of(tree.id)).content.decode()
    assert '<a class="trunc" href="#step-1">plan</a>' in html
    assert html.count('id="step-1"') == html.count('id="step-2"') == 1
    child = Run.objects.get(parent_id=tree.id)
    below = browser.get(url_of(child.id)).content.decode()
    assert f'href="{url_of(tree.id)}#step-1"' in below  # the parent's step, on the parent's page
    assert f'<a class="trunc" href="{url_of(tree.id)}">finder</a>' in below


def test_a_step_of_a_later_attempt_has_its_own_address(browser: Browser, tree: Run) -> None:
    at = tree.started_at
    Step.objects.create(
        run=tree, attempt=2, ordinal=1, kind="work", name="Anew", started_at=at, status="running"
    )
    html = browser.get(url_of(tree.id)).content.decode()
    assert html.count('id="step-1"') == html.count('id="step-2-1"') == 1
    # One that is over stays as somebody has left it; one at work is drawn anew.
    assert 'id="step-1-succeeded" hx-preserve="true"' in html
    assert '<li id="step-2-1-running"><details>' in html


def test_what_each_run_of_a_tree_cost_is_told_and_summed(browser: Browser, tree: Run) -> None:
    usage = {"requests": 1, "input_tokens": 1200, "output_tokens": 34}
    child = Run.objects.get(parent_id=tree.id)
    Run.objects.filter(id=tree.id).update(cost_micros=4200, usage=usage)
    Run.objects.filter(id=child.id).update(cost_micros=20_000)

    page = browser.get(url_of(tree.id))

    costs = page.context["costs"]
    rows = [
        (row["agent"], row["depth"], row["tokens"], row["cost_micros"]) for row in costs["rows"]
    ]
    assert rows == [("finder", 0, 1234, 4200), ("echo", 1, None, 20_000)]
    assert (costs["tokens"], costs["cost_micros"], costs["is_final"]) == (1234, 24_200, True)
    html = page.content.decode()
    assert "1,200 tokens in, 34 out" in html and "$0.0042" in html and "$0.02" in html
    alone = admit(make_agent("alone"))
    assert browser.get(url_of(alone.run_id)).context["costs"] is None


def test_an_open_run_says_how_long_it_has_been_at_work(browser: Browser, tree: Run) -> None:
    opened = admit(make_agent("slow"))
    began = timezone.now() - timedelta(seconds=90)
    Run.objects.filter(id=opened.run_id).update(started_at=began)
    html = browser.get(url_of(opened.run_id)).content.decode()
    assert re.search(r"1 m 3\d s <span class=\"muted fine\">so far</span>", html)
    assert "so far</span>" not in browser.get(url_of(tree.id)).content.decode()


def test_a_log_shows_its_values_as_json_and_texts_bare(browser: Browser, tree: Run) -> None:
    html = browser.get(url_of(tree.id)).content.decode()
    assert "tools=[&quot;echo&quot;]" in html and "why=fits" in html


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("endpoint_timeout", "Whoever runs the agent’s endpoint can mend this"),
        ("limit_reached", "can raise the limit"),
        ("odd", ""),
    ],
)
def test_a_failure_says_who_can_mend_it(
    browser: Browser, scripts: Any, org: Any, code: str, said: str
) -> None:
    def fail(invocation: Any, ctx: Any) -> dict[str, Any]:
        raise WorkFailed(code, "It did not work <b>.")

    scripts["echo"] = fail
    make_agent("echo")
    run = invoke(Ask(agent="echo", input={}), caller=BY, at=timezone.now()).run
    page = browser.get(url_of(run.id))
    html = page.content.decode()
    assert "It failed." in html and "It did not work &lt;b&gt;." in html and said in html
    assert bool(page.context["mending"]) is bool(said)
    listed = browser.get("/runs/").context["runs"][0]
    assert listed["status_label"] == f"Failed: {code.replace('_', ' ')}"


def test_the_changing_part_of_an_open_run_says_all_of_this_too(browser: Browser, org: Any) -> None:
    opened = admit(make_agent("slow"))
    part = browser.part(f"{url_of(opened.run_id)}?seen=x")
    assert is_part(part) and b"so far" in part.content and b'id="trace-title"' in part.content
    ending = spine.Ending("timed_out", reason="deadline")  # type: ignore[arg-type]
    assert spine.close_run(opened.hold, ending, at=timezone.now()) == "ours"
    over = browser.part(f"{url_of(opened.run_id)}?seen=x")
    assert over.status_code == 286 and b"can raise its timeout" in over.content


def test_words_of_a_status() -> None:
    assert status_label("failed", "", "output_invalid") == "Failed: output invalid"
    assert status_label("denied", "no_grant") == "Denied: no grant"
    assert status_label("cancelled", "by_hand") == "Cancelled"
    assert status_label("timed_out", "deadline") == "Timed out"
    assert status_label("succeeded", "") == "Succeeded"
    assert mending("", "model_refused").startswith("An admin can change providers")
    assert mending("by_hand", "") == ""


def test_words_of_a_filter() -> None:
    assert filter_words({}) == ""
    query = {"range": "7d", "status": "timed_out", "q": "parcel", "sort": "started"}
    assert (
        filter_words(query)
        == "words “parcel”, status timed out, time last 7 days, the oldest first"
    )
    days = {"range": "custom", "from": "2026-01-31", "level": "all"}
    assert filter_words(days) == "from 2026-01-31, with calls between agents"


def test_a_run_that_waits_leads_to_what_is_asked(
    browser: Browser, scripts: Any, somebody: Any
) -> None:
    make_agent("echo")
    in_force('require_approval contains "A person agrees." if true\n')
    run = invoke(Ask(agent="echo", input={}), caller=somebody("member"), at=timezone.now()).run
    page = browser.get(url_of(run.id)).content.decode()

    assert run.approval_id and run.decision_id
    assert "A person has to agree first." in page
    assert f'href="/approvals/apr_{run.approval_id.hex}/"' in page
    assert f"dec_…{run.decision_id.hex[-8:]}" in page


@pytest.mark.parametrize(
    ("reason", "kind"), [("approval_rejected", "approval"), ("policy", "decision")]
)
def test_a_refused_run_leads_to_where_that_is_told(
    browser: Browser, scripts: Any, somebody: Any, reason: str, kind: str
) -> None:
    make_agent("echo")
    in_force('require_approval contains "A person agrees." if true\n')
    run = invoke(Ask(agent="echo", input={}), caller=somebody("member"), at=timezone.now()).run
    assert browser.get(url_of(run.id)).context["told"] == {}  # the control: nobody has refused it
    Run.objects.filter(id=run.id).update(status="denied", reason=reason, finished_at=timezone.now())
    page = browser.get(url_of(run.id))

    ids = {"approval": f"/apr_{run.approval_id.hex}/", "decision": f"/dec_{run.decision_id.hex}/"}
    assert page.context["told"]["url"].endswith(ids[kind])
    html = page.content.decode()
    assert f"See the {kind}" in html and "None: it never began." in html
