"""The list of runs as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.ids import public_id
from apps.runs import export
from apps.runs.export import COLUMNS, CUT
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants import keys
from tests.orgs.conftest import owner_of
from tests.runs.factories import BY, admit, child_of, grant, make_agent
from tests.tenants.browsing import Browser, as_member

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")


@pytest.fixture
def echo(org: Any, scripts: Any) -> Any:
    scripts["echo"] = lambda invocation, ctx: {"text": invocation.input["text"]}
    return make_agent("echo")


@pytest.fixture
def say(echo: Any) -> Callable[..., Run]:
    def run(text: str) -> Run:
        ask = Ask(agent="echo", input={"text": text})
        return Run.objects.get(id=invoke(ask, caller=BY, at=timezone.now()).run.id)

    return run


def table(browser: Browser, query: str = "") -> list[list[str]]:
    """The file's lines, whatever keys are held by who draws on the stream."""
    answer = browser.get(f"/runs/export/{query}")
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    slug = browser.host.partition(".")[0]
    name = f"runs-{slug}-{timezone.now():%Y-%m-%d}.csv"
    assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    with keys.holding():
        content = b"".join(answer)
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def titles(browser: Browser, query: str = "") -> list[str]:
    return [line[1] for line in table(browser, query)[1:]]


def test_a_line_says_all_of_a_run(browser: Browser, say: Any) -> None:
    run = say('Good, "quoted"\nmorning — ü')
    Run.objects.filter(id=run.id).update(
        cost_micros=4200, usage={"requests": 1, "input_tokens": 7, "output_tokens": 3}
    )
    head, line = table(browser)
    assert head == list(COLUMNS)
    found = dict(zip(head, line, strict=True))
    assert found["duration_ms"] == str(float(found["duration_ms"]))
    assert found == found | {
        "id": public_id("run", run.id),
        "title": run.title,
        "agent": "echo",
        "tool": "echo",
        "status": "succeeded",
        "reason": "",
        "error": "",
        "caller_type": "api_key",
        "caller_id": "key_1",
        "caller": "Test key",
        "mode": "sync",
        "environment": "live",
        "parent": "",
        "root": public_id("run", run.id),
        "cost_micros": "4200",
        "input_tokens": "7",
        "output_tokens": "3",
        "created_at": run.created_at.isoformat(),
    }


def test_the_file_is_what_the_filter_finds(browser: Browser, say: Any, echo: Any) -> None:
    for text in ("One", "Two"):
        say(text)
    parent = make_agent("concierge")
    grant(parent, echo)
    child_of(admit(parent, title="Root").hold, echo, title="Child")

    assert titles(browser) == ["Root", "Two", "One"]
    assert titles(browser, "?sort=started") == ["One", "Two", "Root"]
    assert titles(browser, "?agent=echo&status=succeeded") == ["Two", "One"]
    assert titles(browser, "?q=tw") == ["Two"]
    assert sorted(titles(browser, "?level=all")) == ["Child", "One", "Root", "Two"]
    assert titles(browser, "?status=denied") == []
    assert browser.get("/runs/export/?project=no-such").status_code == 404
    odd = browser.get("/runs/export/?status=odd")
    assert (odd.status_code, odd["Location"]) == (302, "/runs/?status=odd")
    assert "can’t be read" in browser.get(odd["Location"]).content.decode()


def test_the_page_links_to_the_file_of_its_filter(browser: Browser, say: Any) -> None:
    say("One")
    for query in ("", "?status=succeeded&range=7d&project=default"):
        page = browser.get(f"/runs/{query}")
        url = page.context["export_url"]
        assert url.replace("project=default&", "") == (
            "/runs/export/" + query.replace("&project=default", "")
        )
        assert (
            "download" in page.content.decode() and "at most 10,000 runs" in page.content.decode()
        )
        assert titles(browser, url.removeprefix("/runs/export/")) == ["One"]


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "\uff1d1", "\uff201"])
def test_no_cell_is_a_formula(browser: Browser, say: Any, rewrite: Any, begin: str) -> None:
    run = say("x")
    rewrite(Run.objects.filter(id=run.id), title=begin, caller_label=begin)
    line = dict(zip(*table(browser), strict=True))
    assert line["title"] == line["caller"] == f"'{begin}"


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("a;=1+1", "a;'=1+1"),
        ('a";  @sum', "a\";'  @sum"),
        ("a\n-1\t+1", "a\n'-1\t'+1"),
        ("a = b; c-d, =e", "a = b; c-d, =e"),
    ],
)
def test_none_begins_within_a_cell_where_cells_are_separated_otherwise(
    browser: Browser, say: Any, rewrite: Any, title: str, kept: str
) -> None:
    """Half of Europe's spreadsheets take a semicolon for the end of a cell, quoted or not."""
    rewrite(Run.objects.filter(id=say("x").id), title=title)
    assert dict(zip(*table(browser), strict=True))["title"] == kept


def test_a_file_is_bounded_and_read_page_by_page(
    browser: Browser, echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(7):
        admit(echo, title=f"Run {n}")
    monkeypatch.setattr(export, "BATCH", 3)
    assert titles(browser) == [f"Run {n}" for n in reversed(range(7))]

    monkeypatch.setattr(export, "EXPORT_MAX", 5)
    rows = table(browser)
    assert [line[1] for line in rows[1:-1]] == ["Run 6", "Run 5", "Run 4", "Run 3", "Run 2"]
    assert rows[-1] == [CUT]
    monkeypatch.setattr(export, "EXPORT_MAX", 7)
    exact = table(browser)
    assert len(exact) == 8 and exact[-1] != [CUT]


def test_a_page_of_a_file_costs_one_query(
    browser: Browser, echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(12):
        admit(echo)

    def queries(batch: int) -> int:
        monkeypatch.setattr(export, "BATCH", batch)
        with CaptureQueriesContext(connection) as seen:
            assert len(table(browser)) == 13
        return len(seen)

    table(browser)
    one = queries(12)
    assert queries(6) == one + 1 and queries(3) == one + 3


def test_nobody_exports_what_is_not_theirs(
    org: Any, browser: Browser, other_org: Any, say: Any, somebody: Any
) -> None:
    say("Ours")
    with keys.holding(other_org.schema, other_org.id):
        own = as_member(other_org, owner_of(other_org))
    assert titles(own) == []
    assert titles(as_member(org, somebody("member"))) == titles(browser) == ["Ours"]
    viewer = as_member(org, somebody("viewer"))
    assert viewer.get("/runs/export/").status_code == 403
    assert b"/runs/export/" not in viewer.get("/runs/").content
