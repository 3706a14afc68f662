"""A conversation with an agent that says what it was given of it."""

from __future__ import annotations

from typing import Any

from tests.orgs.conftest import Api
from tests.runs.factories import capability, make_agent
from tests.runs.speaking import TEXT_ONLY, say

SESSION = "ticket-4711"
Seen = dict[str, list[str]]
"""Each text that was said, and the earlier ones that were given with it."""


def make_listener(scripts: Any) -> Seen:
    """`echo`, which gives back its text."""
    found: Seen = {}
    scripts["echo"] = lambda invocation, ctx: note(found, invocation, ctx)
    make_agent("echo", tools=[capability("echo", input_schema=TEXT_ONLY)])
    return found


def note(found: Seen, invocation: Any, ctx: Any, turns: int = 50) -> Any:
    given = ctx.history(turns)
    assert all(turn.input == turn.output for turn in given)
    found[invocation.input["text"]] = [turn.input["text"] for turn in given]
    return invocation.input


def talk(api: Api, *texts: str, **fields: Any) -> Any:
    """Says each text in the session; the last run."""
    return [say(api, text, **{"session_id": SESSION, **fields}) for text in texts][-1]
