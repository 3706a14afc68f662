"""What the tests of /v1 of runs say again and again."""

from __future__ import annotations

import re
from typing import Any

from tests.orgs.conftest import Api
from tests.runs.factories import capability, make_agent

INVOKE = "/agents/echo/invoke"
HELLO = {"input": {"text": "hello"}}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
TEXT_ONLY = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def make_echo(scripts: Any) -> Any:
    """An agent that gives back its input, which is a text."""
    scripts["echo"] = lambda invocation, ctx: invocation.input
    return make_agent("echo", tools=[capability("echo", input_schema=TEXT_ONLY)])


def say(api: Api, text: str = "hello", **fields: Any) -> Any:
    """A run of `echo` as the API answers it."""
    answer = api.post(INVOKE, {"input": {"text": text}, **fields})
    assert answer.status_code in (200, 202), answer.content
    return answer.json()


def find_ids(api: Api, query: str = "") -> list[str]:
    """The ids that a query of /v1/runs finds, in its order."""
    answer = api.get(f"/runs{query}")
    assert answer.status_code == 200, answer.content
    return [run["id"] for run in answer.json()["results"]]


def walk(api: Api, path: str) -> list[list[Any]]:
    """All pages of a list, each as its rows."""
    pages, cursor = [], ""
    while cursor is not None:
        page = api.get(f"{path}{cursor and f'&cursor={cursor}'}").json()
        pages.append(page["results"])
        cursor = page["next"]
    return pages
