"""Gives back what it gets: the shortest way to see an invocation work."""

from __future__ import annotations

from typing import Final

from apps.agents.runtimes.base import CallContext, Invocation
from apps.agents.runtimes.builtin.skill import Skill, one_tool
from apps.common.json import Object

TEXT_MAX: Final = 100_000
_TEXT: Final = {"type": "string", "maxLength": TEXT_MAX, "examples": ["hello"]}
SPEC: Final = one_tool(
    "echo", "Repeats a text word for word.", {"text": _TEXT}, {"text": _TEXT}, required=["text"]
)


def run(invocation: Invocation, ctx: CallContext) -> Object:
    return {"text": invocation.input["text"]}


SKILL: Final = Skill("echo", lambda config: SPEC, run)
