"""The selected project stands in the address; every link and form of the runs' pages carries it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.common.ids import public_id
from apps.orgs.services import projects
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.runs.services.views import create_view
from tests.markup import forgotten
from tests.orgs.conftest import AT
from tests.runs.factories import CALLER, admit, grant, make_agent
from tests.tenants.browsing import Browser

SLUG = "apollo"


@pytest.fixture
def pages(org: Any, owner: Any, scripts: Any) -> list[str]:
    """A page of each kind, in each of its states, within the project."""
    projects.create_project(name="Apollo", slug=SLUG, actor=owner.actor, at=AT)

    def work(invocation: Any, ctx: Any) -> dict[str, Any]:
        with ctx.step("plan"):
            pass
        return {"found": ctx.call_agent(agent="echo", tool="echo", input={"text": "hi"})["text"]}

    scripts["finder"], scripts["echo"] = work, lambda invocation, ctx: {"text": "hi"}
    finder, echo = make_agent("finder"), make_agent("echo")
    grant(finder, echo)
    ask = Ask(agent="finder", input={"q": "Where?"}, project=SLUG, session_id="one")
    over = invoke(ask, caller=owner, at=timezone.now()).run
    child = Run.objects.get(parent_id=over.id)
    project_id = Run.objects.get(id=over.id).project_id
    for n in range(55):
        admit(echo, title=f"Open {n}", project_id=project_id)
    opened = Run.objects.filter(status="running").first()
    assert opened is not None
    view = create_view(name="Mine", query={"status": "failed"}, by=owner, at=AT)
    runs = [f"/runs/{public_id('run', run.id)}/" for run in (over, child, opened)]
    return [
        *("/runs/", "/runs/?status=running", "/runs/?status=failed", "/runs/?q=zzzz"),
        *("/runs/?sort=started", f"/runs/?caller={CALLER.id}&range=7d", "/runs/?session_id=one"),
        *runs,
        *("/agents/echo/runs/", "/agents/echo/try/", f"/agents/echo/try/?like={runs[0][6:-1]}"),
        *("/runs/views/", f"/runs/views/{public_id('viw', view.id)}/"),
    ]


def within(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}project={SLUG}"


def lost(html: str, path: str) -> list[tuple[str, str]]:
    return list(forgotten(html, SLUG, base=within(path)))


def test_no_link_and_no_form_forgets_the_project(browser: Browser, pages: list[str]) -> None:
    for path in pages:
        answer = browser.get(within(path))
        assert answer.status_code == 200, path
        html = answer.content.decode()
        assert SLUG in html and lost(html, path) == []


def test_no_fragment_forgets_the_project(browser: Browser, pages: list[str]) -> None:
    for path in pages:
        page, part = browser.get(within(path)), browser.part(within(path))
        assert lost(part.content.decode(), path) == []
        if poll_url := page.context.get("poll_url"):
            asked = browser.part(f"{poll_url}x")  # something has changed
            assert asked.status_code in (200, 286) and lost(asked.content.decode(), path) == []


def test_a_call_from_the_console_counts_for_the_project(browser: Browser, pages: list[str]) -> None:
    page = browser.get(f"/agents/echo/try/?project={SLUG}")
    assert f'"project": "{SLUG}"' in page.context["command"]
    form = page.context["form"]
    sent = {name: form[name].value() or "" for name in form.fields} | {"mode": "async"}
    answer = browser.post(f"/agents/echo/try/?project={SLUG}", sent, HX_Request="true")
    assert answer.status_code == 200 and lost(answer.content.decode(), "/agents/echo/try/") == []
    assert f"project={SLUG}" in answer.context["result"]["poll_url"]
    run = Run.objects.order_by("-created_at", "-id").first()
    assert run is not None and run.project.slug == SLUG
