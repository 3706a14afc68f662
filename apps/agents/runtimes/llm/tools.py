"""The tools that a model is told of, and the way back from what it names to what is granted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain, count
from typing import Final

from pydantic_ai.tools import ToolDefinition

from apps.agents.runtimes.base import GrantedTool
from apps.agents.runtimes.llm.own import FINAL, OwnTool
from apps.common.json import Object

Tool = GrantedTool | OwnTool
NAME_MAX: Final = 64
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")
_TEXT_ONLY: Final = frozenset(
    ("$schema", "type", "title", "description", "properties", "required", "additionalProperties")
)


def named(granted: Iterable[GrantedTool], own: Mapping[str, OwnTool]) -> dict[str, Tool]:
    """Each tool under a name that every provider takes, no two under one.

    The agent's own keep theirs; a granted one whose name is taken gets a number at its end.
    """
    found: dict[str, Tool] = {**own}
    for tool in granted:
        found[_free_name(f"{tool.agent}__{tool.spec.name}", found)] = tool
    return found


def _free_name(wanted: str, taken: Mapping[str, Tool]) -> str:
    name = _OTHER.sub("_", wanted)
    ends = chain([""], (f"_{number}" for number in count(2)))
    return next(free for end in ends if (free := name[: NAME_MAX - len(end)] + end) not in taken)


def definitions(tools: Mapping[str, Tool]) -> list[ToolDefinition]:
    """What a model is told of its tools."""
    return [
        ToolDefinition(
            name=name,
            description=tool.spec.description or None,
            parameters_json_schema=_schema(tool.spec.input_schema),
        )
        for name, tool in tools.items()
    ]


def answer_tool(schema: Object) -> ToolDefinition:
    """The tool whose input is the answer."""
    told = ToolDefinition(name=FINAL, description="Give the final answer.", kind="output")
    return replace(told, parameters_json_schema=_schema(schema))


def is_text(schema: Object) -> bool:
    """Whether an output schema asks for nothing but a text, as `{"text"}`."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if set(schema) - _TEXT_ONLY or set(properties) - {"text"} or set(required) - {"text"}:
        return False
    return bool(properties.get("text", {"type": "string"}) == {"type": "string"})


def _schema(schema: Object) -> Object:
    """Providers want the properties of an object named, be there none."""
    return {"properties": {}, **schema}
