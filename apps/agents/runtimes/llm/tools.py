"""The tools that a model is told of, and the way back from what it names to what is granted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from pydantic_ai.tools import ToolDefinition

from apps.agents.runtimes.base import GrantedTool
from apps.common.json import Object

FINAL: Final = "final_result"
"""The tool by which a model gives an answer that has a schema; no granted one has its name."""
NAME_MAX: Final = 64
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")
_TEXT_ONLY: Final = frozenset(
    ("$schema", "type", "title", "description", "properties", "required", "additionalProperties")
)


def named(granted: Iterable[GrantedTool]) -> dict[str, GrantedTool]:
    """Each granted tool under a name that every provider takes, no two under one."""
    found: dict[str, GrantedTool] = {}
    for number, tool in enumerate(granted):
        name = _OTHER.sub("_", f"{tool.agent}__{tool.spec.name}")[:NAME_MAX]
        if name in found:
            end = f"_{number}"
            name = name[: NAME_MAX - len(end)] + end
        found[name] = tool
    return found


def definitions(tools: dict[str, GrantedTool]) -> list[ToolDefinition]:
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
