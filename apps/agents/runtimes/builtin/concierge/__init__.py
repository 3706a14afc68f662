"""Answers a question with the tools that it was granted, whichever those are.

The plan is built from nothing but the question and what the granted tools say of themselves. The
question is read into parts (reading); each tool is asked whether its words fit a part (matching)
and whether the part holds what its schema asks for (binding); the best fitting tool of each part
is called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apps.agents.runtimes.base import CallContext, CallFailed, GrantedTool, Invocation
from apps.agents.runtimes.builtin.concierge.binding import Bound, bind
from apps.agents.runtimes.builtin.concierge.matching import fitness
from apps.agents.runtimes.builtin.concierge.reading import Part, read_parts, without
from apps.agents.runtimes.builtin.skill import Skill, one_tool
from apps.common.json import Object

CALLS_MAX: Final = 8
QUESTION_MAX: Final = 20_000

SPEC: Final = one_tool(
    "concierge",
    "Answers a question by calling other agents that it may call.",
    {
        "question": {
            "type": "string",
            "description": "What you want to know or have done.",
            "minLength": 1,
            "maxLength": QUESTION_MAX,
            "examples": ["What is 17 * 23?"],
        }
    },
    {
        "answer": {"type": "string"},
        "used": {"type": "array", "items": {"type": "string"}, "description": "Slugs of agents."},
    },
    required=["question"],
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the plan."""

    tool: GrantedTool
    input: Object

    @property
    def name(self) -> str:
        return f"{self.tool.agent}.{self.tool.spec.name}"


def run(invocation: Invocation, ctx: CallContext) -> Object:
    tools = ctx.tools()
    calls = plan(invocation.input["question"], tools)
    with ctx.step("plan", {"calls": [call.name for call in calls]}):
        ctx.log("info", f"{len(calls)} of {len(tools)} tools fit", tools=[c.name for c in calls])
    if not calls:
        return {"answer": _helpless(tools), "used": []}
    answers = [_carry_out(call, ctx) for call in calls]
    used = list(dict.fromkeys(call.tool.agent for call in calls))
    return {"answer": "\n".join(answers), "used": used}


def plan(question: str, tools: Sequence[GrantedTool]) -> list[Call]:
    """For each part of the question the tool that fits it best, if one does.

    Where none fits, what was taken for a text that came along may be the request itself.
    """
    calls = _calls(read_parts(question), tools)
    return calls or _calls(read_parts(question, with_bodies=False), tools)


def _calls(parts: Sequence[Part], tools: Sequence[GrantedTool]) -> list[Call]:
    """The calls that the parts ask for; a part with more than one expression is asked again."""
    different: dict[str, Call] = {}
    waiting = list(reversed(parts))
    while waiting and len(different) < CALLS_MAX:
        part = waiting.pop()
        best = _best(part, tools)
        if best is None:
            continue
        call, bound = best
        different.setdefault(f"{call.name} {json.dumps(call.input, sort_keys=True)}", call)
        if bound.expression:
            waiting.append(without(part, bound.expression))
    return list(different.values())


def _best(part: Part, tools: Sequence[GrantedTool]) -> tuple[Call, Bound] | None:
    """The tool whose words fit best among those whose schema the part satisfies."""
    found: list[tuple[float, Call, Bound]] = []
    for tool in tools:
        bound = bind(part, tool.spec)
        if bound is None:
            continue
        score = fitness(
            part,
            tool.spec,
            proof=bound.proof,
            bound=bound.names,
            is_sum=bound.expression is not None,
        )
        if score:
            found.append((score, Call(tool, bound.input), bound))
    return max(found, key=lambda fit: fit[0])[1:] if found else None


def _carry_out(call: Call, ctx: CallContext) -> str:
    """Call the tool, and say in a line what came of it."""
    try:
        output = ctx.call_agent(agent=call.tool.agent, tool=call.tool.spec.name, input=call.input)
    except CallFailed as failure:
        ctx.log("warning", f"{call.name} failed", code=failure.code)
        return f"{call.tool.agent} could not help: {failure.message}"
    return f"{call.tool.agent}: {_said(output)}"


def _said(output: Object) -> str:
    """An output in words: its only value, or each by its name."""
    if len(output) == 1:
        return str(next(iter(output.values())))
    return ", ".join(f"{name} {value}" for name, value in output.items())


def _helpless(tools: Sequence[GrantedTool]) -> str:
    names = sorted({tool.agent for tool in tools})
    if not names:
        return "I may call no other agent, so I cannot help. Grant me a tool."
    return f"None of the agents that I may call fits this: {', '.join(names)}."


SKILL: Final = Skill("concierge", lambda config: SPEC, run, waits=True)
