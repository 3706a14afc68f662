"""The console: a form that has an agent do something, once, and shows what came of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.common.ids import public_id
from apps.orgs.errors import IdempotencyInFlight
from apps.orgs.models import RolePermission
from apps.orgs.services import projects
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.runs.views import console
from tests.orgs.conftest import AT
from tests.runs.factories import BY, admit, capability, make_agent
from tests.runs.governing import in_force
from tests.tenants.browsing import Browser, as_member, is_page, is_part

URL = "/agents/echo/try/"
TEXT_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "examples": ["hello"]}},
    "required": ["text"],
    "additionalProperties": False,
}


@pytest.fixture
def echo(org: Any, scripts: Any) -> Agent:
    scripts["echo"] = lambda invocation, ctx: {"said": invocation.input["text"]}
    return make_agent("echo", tools=[capability("echo", input_schema=TEXT_SCHEMA)])


def fields(page: Any) -> dict[str, str]:
    """What the form of the page holds, as a browser would send it."""
    html = page.content.decode()
    form = html[html.index('action="/agents/') :]
    found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    found.pop("csrfmiddlewaretoken", None)
    return {"project": "", **found, "mode": "sync"}


def typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def send(browser: Browser, page: Any, value: Any, **changes: str) -> Any:
    headers = {"HX_Request": "true"} if changes.pop("htmx", "") else {}
    data = {**fields(page), "input": typed(value), **changes}
    return browser.post(URL, data, **headers)


def test_the_form_begins_with_the_schemas_example(browser: Browser, echo: Agent) -> None:
    page, part = browser.get(URL), browser.part(URL)
    assert is_page(page) and is_part(part)
    for answer in (page, part):
        assert b"&quot;text&quot;: &quot;hello&quot;" in answer.content
    assert browser.get(URL)["Cache-Control"].startswith("max-age=0, no-cache")
    assert Run.objects.count() == 0


def test_without_scripts_the_runs_page_is_the_answer(browser: Browser, echo: Agent) -> None:
    answer = send(browser, browser.get(URL), {"text": "Good morning"})

    run = Run.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/runs/{public_id('run', run.id)}/")
    assert (run.input, run.output) == ({"text": "Good morning"}, {"said": "Good morning"})
    assert (run.status, run.mode, run.caller_type) == ("succeeded", "sync", "user")


def test_with_scripts_the_result_comes_under_the_form(browser: Browser, echo: Agent) -> None:
    page = browser.get(URL)
    answer = send(browser, page, {"text": "Good morning"}, htmx="1")

    assert answer.status_code == 200 and is_part(answer)
    html = answer.content.decode()
    assert 'id="result"' in html and '"said"' in html and "every 2s" not in html
    assert "&quot;Good morning&quot;" in html  # what was typed is still there
    assert fields(answer)["nonce"] != fields(page)["nonce"]


def test_anothers_input_is_for_who_may_see_runs(
    org: Any, browser: Browser, echo: Agent, owner: Any, somebody: Any
) -> None:
    ask = Ask(agent="echo", input={"text": "between us"})
    theirs = public_id("run", invoke(ask, caller=owner, at=timezone.now()).run.id)
    member = somebody("member")
    blind = as_member(org, member)
    assert b"between us" in blind.get(f"{URL}?like={theirs}").content  # the control
    RolePermission.objects.filter(role__slug="member", permission__code="runs.view").delete()

    for answer in (blind.get(f"{URL}?like={theirs}"), blind.part(f"{URL}?run={theirs}")):
        assert answer.status_code == 403 and b"between us" not in answer.content

    own = public_id("run", invoke(ask, caller=member, at=timezone.now()).run.id)
    assert b"between us" in blind.get(f"{URL}?like={own}").content
    assert b"between us" in blind.part(f"{URL}?run={own}").content


def test_a_form_that_is_sent_twice_runs_once(browser: Browser, echo: Agent) -> None:
    page = browser.get(URL)
    answers = [send(browser, page, {"text": "once"}) for _ in range(3)]
    assert Run.objects.count() == 1
    assert len({answer["Location"] for answer in answers}) == 1

    send(browser, page, {"text": "changed"})
    assert Run.objects.count() == 2
    send(browser, browser.get(URL), {"text": "once"})
    assert Run.objects.count() == 3


def test_a_second_press_while_it_is_at_work_leads_to_the_run(
    browser: Browser, echo: Agent, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.get(URL)
    send(browser, page, {"text": "slow"})
    run = Run.objects.get()
    assert f"{run.caller_type}:{run.caller_id}" == owner.actor.principal

    def busy(*args: Any, **kwargs: Any) -> Any:
        raise IdempotencyInFlight

    monkeypatch.setattr(console, "invoke", busy)
    answer = send(browser, page, {"text": "slow"})
    assert answer["Location"] == f"/runs/{public_id('run', run.id)}/"
    part = send(browser, page, {"text": "slow"}, htmx="1")
    assert part["HX-Redirect"] == answer["Location"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "at line 1, column 2"),
        ("[1]", "A tool takes an object"),
        ('{"text": NaN}', "be held as JSON"),
        ("", "This field is required"),
        ({}, "text: This field is required."),
        ({"text": 1}, "text: "),
        ({"text": "a", "more": 1}, "more: Unknown field."),
    ],
)
def test_an_input_that_will_not_do_is_shown_with_what_was_typed(
    browser: Browser, echo: Agent, value: Any, said: str
) -> None:
    page = browser.get(URL)
    whole, part = send(browser, page, value), send(browser, page, value, htmx="1")

    assert is_page(whole) and is_part(part)
    for answer in (whole, part):
        assert answer.status_code == 422
        assert said in answer.content.decode() and b'id="id_input_error"' in answer.content
    assert Run.objects.count() == 0


def test_a_form_without_its_nonce_runs_nothing(browser: Browser, echo: Agent) -> None:
    page = browser.get(URL)
    for nonce in ("", "x", "A" * 32):
        assert send(browser, page, {"text": "a"}, nonce=nonce).status_code == 422
    assert send(browser, page, {"text": "a"}, tool="other").status_code == 404
    assert Run.objects.count() == 0


def test_a_refusal_is_explained_and_on_record(browser: Browser, echo: Agent) -> None:
    page = browser.get(URL)
    echo.suspend(note="")
    echo.save()

    whole = send(browser, page, {"text": "a"})
    part = send(browser, browser.get(URL), {"text": "a"}, htmx="1")

    assert is_page(whole) and is_part(part) and part["HX-Retarget"] == "#console"
    runs = [public_id("run", run_id) for run_id in Run.objects.values_list("id", flat=True)]
    assert len(runs) == 2
    for answer in (whole, part):
        html = answer.content.decode()
        assert answer.status_code == 403
        assert "Whoever may edit agents can activate it again" in html
        assert sum(f"/runs/{run}/" in html for run in runs) == 1
    assert set(Run.objects.values_list("status", flat=True)) == {"denied"}
    assert b"so a call would be refused" in browser.get(URL).content


def test_a_refusal_by_policies_leads_to_what_they_decided(browser: Browser, echo: Agent) -> None:
    in_force('deny contains "Not for echoes." if true\n')
    answer = send(browser, browser.get(URL), {"text": "a"}, htmx="1")
    run, html = Run.objects.get(), answer.content.decode()
    assert answer.status_code == 403 and "Not for echoes." in html and run.decision_id
    assert f'href="/policies/decisions/dec_{run.decision_id.hex}/">See the decision' in html
    assert f"/runs/{public_id('run', run.id)}/" in html and "try again" not in html


def test_a_rate_says_when_to_try_again(browser: Browser, echo: Agent) -> None:
    in_force('obligations := {"limit_rate": {"requests": 1, "seconds": 7200}}\n')
    assert send(browser, browser.get(URL), {"text": "a"}, htmx="1").status_code == 200
    answer = send(browser, browser.get(URL), {"text": "b"}, htmx="1")
    html = answer.content.decode()
    assert answer.status_code == 429 and answer["HX-Retarget"] == "#console"
    assert "allow this caller no more calls" in html and "See the decision" in html
    assert re.search(r"You can try again <time [^>]+>in (a moment|\d+ (min|h))</time>\.", html)


def test_a_run_in_the_background_is_followed(browser: Browser, echo: Agent) -> None:
    answer = send(browser, browser.get(URL), {"text": "later"}, htmx="1", mode="async")
    run = Run.objects.get()
    assert (answer.status_code, run.status) == (200, "queued")
    poll_url = f"{URL}?run={public_id('run', run.id)}"
    assert f'hx-get="{poll_url}"'.encode() in answer.content

    waiting = browser.part(poll_url)
    assert waiting.status_code == 200 and b"every 2s" in waiting.content
    Run.objects.filter(id=run.id).update(
        status="cancelled", reason="by_hand", finished_at=timezone.now()
    )
    over = browser.part(poll_url)
    assert over.status_code == 286 and is_part(over)
    assert b"every 2s" not in over.content and b"Somebody cancelled it" in over.content


def test_the_result_of_another_agents_run_is_not_shown_here(browser: Browser, echo: Agent) -> None:
    other = admit(make_agent("other")).run_id
    assert browser.part(f"{URL}?run={public_id('run', other)}").status_code == 404
    assert browser.part(f"{URL}?run=run_x").status_code == 404


def test_a_run_can_be_repeated_with_its_input(browser: Browser, echo: Agent) -> None:
    ask = Ask(agent="echo", input={"text": "again, please"})
    run = invoke(ask, caller=BY, at=timezone.now()).run
    again = browser.get(f"/runs/{public_id('run', run.id)}/").context["again_url"]
    page = browser.get(again)
    assert page.status_code == 200 and b"&quot;again, please&quot;" in page.content


def test_a_call_counts_for_the_selected_project(browser: Browser, echo: Agent, owner: Any) -> None:
    apollo = projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    send(browser, browser.get(f"{URL}?project=apollo"), {"text": "a"})
    assert Run.objects.get().project_id == apollo.id
    send(browser, browser.get(URL), {"text": "b"})
    assert Run.objects.order_by("-created_at")[0].project_id == echo.project_id


def test_one_of_several_tools_is_chosen_in_the_address(browser: Browser, org: Any) -> None:
    make_agent("echo", tools=[capability("first"), capability("second")])
    page = browser.get(f"{URL}?tool=second")
    assert b"Call second" in page.content and fields(page)["tool"] == "second"
    assert b"Call first" in browser.get(URL).content
    assert browser.get(f"{URL}?tool=third").status_code == 404


def test_a_viewer_may_not_have_agents_do_something(org: Any, somebody: Any, echo: Agent) -> None:
    viewer = as_member(org, somebody("viewer"))
    refused = viewer.get(URL)
    assert refused.status_code == 403 and b"agents.invoke" in refused.content
    assert viewer.post(URL, {"input": "{}"}).status_code == 403
    page = viewer.get("/agents/echo/")
    assert b"Your role may only look." in page.content
    assert URL.encode() not in page.content
    assert Run.objects.count() == 0
